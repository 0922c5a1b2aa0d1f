#include "data/cifar.hpp"

#include "data/file_bytes.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <array>

namespace dnas::engine::data {
namespace {

constexpr std::size_t side = 32;
constexpr std::size_t channels = 3;
constexpr std::size_t plane = side * side;
constexpr std::size_t image_bytes = channels * plane;
constexpr std::int64_t test_records = 10'000;

/// Appends the records of one file: planes become pixels.
void append(const std::filesystem::path& path, const CifarLayout& layout, std::int64_t records, ImageSet& set) {
  const std::size_t record_bytes = layout.label_bytes + image_bytes;
  const std::uint64_t expected = static_cast<std::uint64_t>(records) * record_bytes;
  const Bytes content = read_file(path, expected);
  if (content.size() != expected) {
    throw DataError(
        fmt::format("{}: has {} bytes, expected {} ({} records of {}); record {} is cut short or missing; fetch "
                    "the file again",
                    path.string(), content.size(), expected, records, record_bytes, content.size() / record_bytes));
  }
  for (std::size_t record = 0; record < static_cast<std::size_t>(records); ++record) {
    const std::uint8_t* const start = content.data() + record * record_bytes;
    const std::uint8_t label = start[layout.label_bytes - 1];
    if (label >= layout.classes) {
      throw DataError(
          fmt::format("{}: record {}: label {}, expected 0 to {}", path.string(), record, label, layout.classes - 1));
    }
    set.labels.push_back(label);
    const std::uint8_t* const planes = start + layout.label_bytes;  // [C, H, W]
    const std::size_t base = set.pixels.size();
    set.pixels.resize(base + image_bytes);
    for (std::size_t pixel = 0; pixel < plane; ++pixel) {
      for (std::size_t c = 0; c < channels; ++c)
        set.pixels[base + pixel * channels + c] = planes[c * plane + pixel];
    }
  }
}

ImageSet read(const std::filesystem::path& folder, const CifarLayout& layout, std::span<const std::string> files,
              std::int64_t records_per_file) {
  ImageSet set;
  set.image = Shape{side, side, channels};
  const std::size_t total = files.size() * static_cast<std::size_t>(records_per_file);
  set.pixels.reserve(total * image_bytes);
  set.labels.reserve(total);
  for (const std::string& file : files)
    append(folder / file, layout, records_per_file, set);
  return set;
}

/// The folder that has the first training file.
std::filesystem::path find_folder(const CifarLayout& layout, const std::filesystem::path& root) {
  const std::string source =
      fmt::format("get {} from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there", layout.archive);
  if (root.empty())
    throw MissingError(fmt::format("{}: no folder was given (--data); make one, {}", layout.name, source));
  const std::array<std::filesystem::path, 2> folders{root, root / layout.folder};
  const std::array<std::string_view, 1> first{layout.train_files.front()};
  const std::filesystem::path found = find_file(folders, first);
  if (!found.empty()) return found.parent_path();

  const std::array<std::filesystem::path, 1> top{root};
  const std::array<std::string_view, 1> python{layout.python_folder};
  if (!find_file(top, python).empty()) {
    throw MissingError(
        fmt::format("{}: {} holds the version for Python ({}), which is not read because it is executable "
                    "content; the binary version is needed: {}",
                    layout.name, root.string(), layout.python_folder, source));
  }
  throw MissingError(fmt::format("{}: there is no {} in '{}' (--data) or its folder {}; {}", layout.name,
                                 layout.train_files.front(), root.string(), layout.folder, source));
}

}  // namespace

Dataset open_cifar(const CifarLayout& layout, const std::filesystem::path& root) {
  const std::filesystem::path folder = find_folder(layout, root);
  Dataset dataset;
  dataset.name = layout.name;
  dataset.classes = layout.classes;
  dataset.train = read(folder, layout, layout.train_files, layout.records_per_train_file);
  dataset.test = read(folder, layout, std::span(&layout.test_file, 1), test_records);
  // The constants of the official DARTS code (quark0/darts, cnn/utils.py), which uses them for both data sets.
  dataset.mean = {0.49139968F, 0.48215827F, 0.44653124F};
  dataset.std = {0.24703233F, 0.24348505F, 0.26158768F};
  dataset.crop_padding = 4;
  dataset.flip = true;
  return dataset;
}

}  // namespace dnas::engine::data
