#include "data/cifar.hpp"
#include "dnas/engine/dataset.hpp"

namespace dnas::engine::family::datasets {
namespace {

Dataset open(const DatasetOptions& options) {
  const data::CifarLayout layout{.name = "cifar10",
                                 .folder = "cifar-10-batches-bin",
                                 .python_folder = "cifar-10-batches-py",
                                 .archive = "cifar-10-binary.tar.gz",
                                 .classes = 10,
                                 .label_bytes = 1,
                                 .records_per_train_file = 10'000,
                                 .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                 "data_batch_4.bin", "data_batch_5.bin"},
                                 .test_file = "test_batch.bin"};
  return data::open_cifar(layout, options.root);
}

}  // namespace

void register_cifar10(Registry<DatasetEntry>& registry) {
  registry.add({"cifar10", "photographs, 32x32 colour, 10 classes, 50,000 to train, 10,000 to test (binary version)",
                "Learning Multiple Layers of Features from Tiny Images, A. Krizhevsky, 2009", Shape{32, 32, 3}, 10,
                open});
}

}  // namespace dnas::engine::family::datasets
