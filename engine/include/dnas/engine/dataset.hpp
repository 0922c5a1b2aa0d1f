#pragma once

#include "dnas/engine/registry.hpp"
#include "dnas/kernels/shape.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace dnas::engine {

/// Labelled images in memory: what a search or a training run learns from.
struct ImageSet {
  Shape image;                       ///< [H, W, C]
  std::vector<std::uint8_t> pixels;  ///< [N, H, W, C]
  std::vector<std::int64_t> labels;  ///< [N], in [0, classes)

  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(labels.size()); }
};

/// A data set: training and test images and how they are normalised and augmented.
struct Dataset {
  std::string name;
  int classes = 0;
  ImageSet train;
  ImageSet test;            ///< may be empty
  std::vector<float> mean;  ///< per channel, of pixels scaled to [0, 1]
  std::vector<float> std;
  int crop_padding = 0;  ///< random crops after this much zero padding; 0: none
  bool flip = false;     ///< random mirror images make sense
};

/// What to open.
struct DatasetOptions {
  std::filesystem::path root;  ///< folder with the files (--data); ignored by embedded and synthetic sets
  std::uint64_t seed = 0;      ///< of synthetic sets
};

struct DatasetEntry {
  std::string name;
  std::string help;    ///< one line
  std::string source;  ///< where the data come from, for attribution
  Shape image;         ///< [H, W, C] of its images; known without opening it, as are
  int classes = 0;
  /// @throws MissingError, DataError (file, record and what is wrong), IoError
  std::function<Dataset(const DatasetOptions&)> open;
};

/// All data sets that were built in; one file of src/datasets each.
void register_datasets(Registry<DatasetEntry>& registry);
[[nodiscard]] const Registry<DatasetEntry>& datasets();

}  // namespace dnas::engine
