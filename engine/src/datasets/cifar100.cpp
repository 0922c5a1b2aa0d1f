#include "data/cifar.hpp"
#include "dnas/engine/dataset.hpp"

namespace dnas::engine::family::datasets {
namespace {

Dataset open(const DatasetOptions& options) {
  const data::CifarLayout layout{.name = "cifar100",
                                 .folder = "cifar-100-binary",
                                 .python_folder = "cifar-100-python",
                                 .archive = "cifar-100-binary.tar.gz",
                                 .classes = 100,
                                 .label_bytes = 2,  // coarse, fine
                                 .records_per_train_file = 50'000,
                                 .train_files = {"train.bin"},
                                 .test_file = "test.bin"};
  return data::open_cifar(layout, options.root);
}

}  // namespace

void register_cifar100(Registry<DatasetEntry>& registry) {
  registry.add({"cifar100", "photographs, 32x32 colour, 100 classes, 50,000 to train, 10,000 to test (binary version)",
                "Learning Multiple Layers of Features from Tiny Images, A. Krizhevsky, 2009", Shape{32, 32, 3}, 100,
                open});
}

}  // namespace dnas::engine::family::datasets
