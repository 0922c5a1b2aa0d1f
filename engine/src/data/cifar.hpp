#pragma once

#include "dnas/engine/dataset.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace dnas::engine::data {

/// The binary version of a CIFAR data set: records of label bytes, then the red, green and blue 32x32 planes.
struct CifarLayout {
  std::string name;
  std::string folder;         ///< in the archive: "cifar-10-batches-bin"
  std::string python_folder;  ///< of the version for Python, to recognise it
  std::string archive;        ///< file to fetch
  int classes = 10;
  std::size_t label_bytes = 1;  ///< the last one is the class
  std::int64_t records_per_train_file = 0;
  std::vector<std::string> train_files;
  std::string test_file;  ///< 10,000 records
};

/// Opens the files in `root` or `root`/`folder`.
/// @throws MissingError (also when only the Python version is there); DataError naming file, record and what is wrong
[[nodiscard]] Dataset open_cifar(const CifarLayout& layout, const std::filesystem::path& root);

}  // namespace dnas::engine::data
