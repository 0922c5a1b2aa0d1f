#include "data/idx.hpp"
#include "dnas/engine/dataset.hpp"

namespace dnas::engine::family::datasets {
namespace {

Dataset open(const DatasetOptions& options) {
  Dataset dataset = data::open_idx_dataset("mnist", options.root, "MNIST/raw", data::IdxExpectation{},
                                           "give the folder with MNIST's four IDX files (--data); they come from "
                                           "http://yann.lecun.com/exdb/mnist and its mirrors");
  dataset.crop_padding = 2;
  return dataset;
}

}  // namespace

void register_mnist(Registry<DatasetEntry>& registry) {
  registry.add({"mnist", "handwritten digits, 28x28 grey, 10 classes, 60,000 to train, 10,000 to test (IDX files)",
                "The MNIST database of handwritten digits, Y. LeCun, C. Cortes and C. J. C. Burges, 1998",
                Shape{28, 28, 1}, 10, open});
}

}  // namespace dnas::engine::family::datasets
