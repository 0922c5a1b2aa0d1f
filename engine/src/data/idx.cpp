#include "data/idx.hpp"

#include "data/file_bytes.hpp"
#include "data/gzip.hpp"
#include "data/normalisation.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <array>

namespace dnas::engine::data {
namespace {

constexpr std::uint32_t unsigned_byte_magic = 0x00000800;  // the low byte is the number of axes
/// More than any data set of this format has; keeps a bad count from asking for the machine's memory.
constexpr std::uint64_t max_records = 1'000'000;
constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 30;

std::uint32_t big_endian(std::span<const std::uint8_t> bytes) noexcept {
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | static_cast<std::uint32_t>(bytes[3]);
}

void check_magic(std::uint32_t found, std::uint32_t expected, const std::string& name) {
  if (found == expected) return;
  const char* const hint = found == __builtin_bswap32(expected)
                               ? "; it was written with the bytes swapped (little-endian)"
                           : (found & ~0xFFU) == unsigned_byte_magic ? "; are images and labels interchanged?"
                                                                     : "; it is not an IDX file of bytes";
  throw DataError(fmt::format("{}: begins with {:#010x}, expected {:#010x}{}", name, found, expected, hint));
}

/// The records of an IDX file, one behind the other. `record_extents` are the axes after the first, the record's
/// number.
Bytes read_records(const std::filesystem::path& path, std::span<const std::int64_t> record_extents) {
  const std::string name = path.string();
  const Bytes stored = read_file(path, max_file_bytes);
  const bool compressed = is_gzip(stored);
  const std::size_t header_bytes = 4 * (2 + record_extents.size());
  const Bytes start =
      compressed
          ? inflate_start(stored, header_bytes, name)
          : Bytes(stored.begin(), stored.begin() + static_cast<std::ptrdiff_t>(std::min(header_bytes, stored.size())));
  if (start.size() < header_bytes) {
    throw DataError(
        fmt::format("{}: holds {} bytes, its header alone needs {}; fetch it again", name, start.size(), header_bytes));
  }
  const std::span<const std::uint8_t> header(start);
  check_magic(big_endian(header), unsigned_byte_magic + static_cast<std::uint32_t>(1 + record_extents.size()), name);
  const std::uint64_t records = big_endian(header.subspan(4));
  if (records == 0 || records > max_records) {
    throw DataError(fmt::format("{}: claims {} records, expected 1 to {}", name, records, max_records));
  }
  std::uint64_t record_bytes = 1;
  for (std::size_t axis = 0; axis < record_extents.size(); ++axis) {
    const std::uint32_t extent = big_endian(header.subspan(8 + 4 * axis));
    if (extent != record_extents[axis]) {
      throw DataError(fmt::format("{}: {} of the images is {}, expected {}", name, axis == 0 ? "height" : "width",
                                  extent, record_extents[axis]));
    }
    record_bytes *= extent;
  }
  const std::uint64_t total = header_bytes + records * record_bytes;  // bounded by the checks above
  Bytes content = compressed ? inflate_exactly(stored, total, name) : stored;
  if (content.size() != total) {
    throw DataError(fmt::format("{}: has {} bytes, expected {} for {} records; it is {}; fetch it again", name,
                                content.size(), total, records, content.size() < total ? "cut short" : "too long"));
  }
  content.erase(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(header_bytes));
  return content;
}

std::filesystem::path find(std::span<const std::filesystem::path> folders, const std::string& file,
                           std::string_view dataset, std::string_view hint) {
  const std::string zipped = file + ".gz";
  const std::array<std::string_view, 2> names{file, zipped};
  std::filesystem::path path = find_file(folders, names);
  if (path.empty()) {
    throw MissingError(
        fmt::format("{}: there is no {} or {} in {}; {}", dataset, file, zipped, folders.front().string(), hint));
  }
  return path;
}

}  // namespace

ImageSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                  const IdxExpectation& expected) {
  ImageSet set;
  set.image = Shape{expected.height, expected.width, 1};
  const std::array<std::int64_t, 2> extents{expected.height, expected.width};
  set.pixels = read_records(images, extents);
  const Bytes classes = read_records(labels, {});
  const std::size_t records = set.pixels.size() / static_cast<std::size_t>(expected.height * expected.width);
  if (classes.size() != records) {
    throw DataError(fmt::format("{}: has {} labels, {} has {} images; they do not belong together", labels.string(),
                                classes.size(), images.string(), records));
  }
  set.labels.reserve(classes.size());
  for (const std::uint8_t label : classes) {
    if (label >= expected.classes) {
      throw DataError(fmt::format("{}: record {}: label {}, expected 0 to {}", labels.string(), set.labels.size(),
                                  label, expected.classes - 1));
    }
    set.labels.push_back(label);
  }
  return set;
}

Dataset open_idx_dataset(const std::string& name, const std::filesystem::path& root,
                         const std::filesystem::path& subfolder, const IdxExpectation& expected,
                         std::string_view hint) {
  if (root.empty()) throw MissingError(fmt::format("{}: no folder was given; {}", name, hint));
  const std::array<std::filesystem::path, 2> folders{root, root / subfolder};
  const auto read = [&](const std::string& part) {
    const std::filesystem::path images = find(folders, part + "-images-idx3-ubyte", name, hint);
    const std::filesystem::path labels = find(folders, part + "-labels-idx1-ubyte", name, hint);
    return read_idx(images, labels, expected);
  };
  Dataset dataset;
  dataset.name = name;
  dataset.classes = expected.classes;
  dataset.train = read("train");
  dataset.test = read("t10k");
  measure_normalisation(dataset);
  return dataset;
}

}  // namespace dnas::engine::data
