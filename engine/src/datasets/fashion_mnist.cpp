#include "data/idx.hpp"
#include "dnas/engine/dataset.hpp"

namespace dnas::engine::family::datasets {
namespace {

/// Where Debian's package dataset-fashion-mnist puts the files.
constexpr const char* default_root = "/usr/share/datasets/fashion-mnist";

Dataset open(const DatasetOptions& options) {
  Dataset dataset =
      data::open_idx_dataset("fashion-mnist", options.root.empty() ? std::filesystem::path(default_root) : options.root,
                             "FashionMNIST/raw", data::IdxExpectation{},
                             "install Debian's package dataset-fashion-mnist, or give the folder with its four IDX "
                             "files (--data); they come from "
                             "https://github.com/zalandoresearch/fashion-mnist");
  dataset.crop_padding = 2;
  dataset.flip = true;
  return dataset;
}

}  // namespace

void register_fashion_mnist(Registry<DatasetEntry>& registry) {
  registry.add({"fashion-mnist", "clothes, 28x28 grey, 10 classes, 60,000 to train, 10,000 to test (IDX files)",
                "Fashion-MNIST, H. Xiao, K. Rasul and R. Vollgraf, 2017, arXiv:1708.07747 (MIT)", Shape{28, 28, 1}, 10,
                open});
}

}  // namespace dnas::engine::family::datasets
