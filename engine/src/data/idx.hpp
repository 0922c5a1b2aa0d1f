#pragma once

#include "dnas/engine/dataset.hpp"

#include <filesystem>

namespace dnas::engine::data {

/// What an IDX data set should hold.
struct IdxExpectation {
  std::int64_t height = 28;
  std::int64_t width = 28;
  int classes = 10;
};

/// Reads a pair of IDX files (Y. LeCun's format of MNIST), plain or gzip.
/// @throws MissingError, IoError; DataError naming the file, the record and what is wrong
[[nodiscard]] ImageSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                                const IdxExpectation& expected);

/// Opens {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz] in `root` or `root`/`subfolder` as a data set, normalised by
/// the training images' own mean and deviation.
/// @param hint  where the files can be had, for the message when they are missing
[[nodiscard]] Dataset open_idx_dataset(const std::string& name, const std::filesystem::path& root,
                                       const std::filesystem::path& subfolder, const IdxExpectation& expected,
                                       std::string_view hint);

}  // namespace dnas::engine::data
