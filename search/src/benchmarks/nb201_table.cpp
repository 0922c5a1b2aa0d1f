#include "dnas/search/nb201_table.hpp"

#include "benchmarks/nb201_format.hpp"
#include "benchmarks/printable.hpp"
#include "dnas/engine/file.hpp"
#include "dnas/engine/registry.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace dnas::search {
namespace {

namespace format = nb201_format;

constexpr const char* how_to_make = "make it with: dnas query --convert FILE.csv --out FILE.dnas";

template <typename T>
T read_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
std::span<const T> values_at(std::span<const std::byte> bytes, std::uint64_t offset) {
  // Aligned, inside the file, and written as such values: checked, or said by the type of the column.
  return {reinterpret_cast<const T*>(bytes.data() + offset), format::rows};
}

/// Checks everything that does not depend on columns. The header is the one of this version then.
format::Header checked_header(std::span<const std::byte> bytes, const std::string& name) {
  format::Header header;
  const std::size_t known = std::min(bytes.size(), header.magic.size());
  if (known == 0 || std::memcmp(bytes.data(), header.magic.data(), known) != 0)
    throw DataError(fmt::format("{}: not a NAS-Bench-201 table of this program; {}", name, how_to_make));
  const std::size_t least = sizeof header + format::hash_digits;
  if (bytes.size() < least)
    throw DataError(
        fmt::format("{}: cut short: {} bytes, expected at least {}; {}", name, bytes.size(), least, how_to_make));
  header = read_at<format::Header>(bytes, 0);
  if (header.version != format::version)
    throw DataError(fmt::format("{}: byte 8: a table of version {}, this program reads version {}; {}", name,
                                header.version, format::version, how_to_make));
  if (header.bytes != bytes.size())
    throw DataError(fmt::format("{}: byte 24: {} bytes were written, the file has {}; {}", name, header.bytes,
                                bytes.size(), how_to_make));
  const std::span<const std::byte> body = bytes.first(bytes.size() - format::hash_digits);
  const std::string_view stored(reinterpret_cast<const char*>(bytes.data() + body.size()), format::hash_digits);
  const std::string found = engine::hash_of(body);
  if (stored != found)
    throw DataError(fmt::format("{}: damaged: its hash is {}, the one at byte {} is {}; {}", name, found, body.size(),
                                printable(stored), how_to_make));
  return header;
}

/// Checks the descriptions of the columns, so that all values can be read. A file with a good hash fails here only if
/// another program wrote it.
std::vector<format::Column> checked_columns(std::span<const std::byte> bytes, const format::Header& header,
                                            const std::string& name) {
  const std::size_t end = bytes.size() - format::hash_digits;
  if (header.rows != format::rows)
    throw DataError(fmt::format("{}: byte 16: {} rows, expected {}", name, header.rows, format::rows));
  if (header.columns > format::max_columns || sizeof header + header.columns * sizeof(format::Column) > end)
    throw DataError(fmt::format("{}: byte 12: {} columns are more than it can hold", name, header.columns));
  std::vector<format::Column> columns;
  for (std::uint32_t i = 0; i < header.columns; ++i) {
    const std::size_t at = sizeof header + i * sizeof(format::Column);
    const auto column = read_at<format::Column>(bytes, at);
    if (column.name.back() != '\0' || column.name.front() == '\0')
      throw DataError(fmt::format("{}: byte {}: column {} has no name", name, at, i));
    if (column.type != format::Type::f32 && column.type != format::Type::i64)
      throw DataError(fmt::format("{}: byte {}: column '{}' is of the unknown type {}", name, at,
                                  printable(column.name.data()), static_cast<std::uint32_t>(column.type)));
    const std::uint64_t size = format::rows * format::size_of(column.type);
    if (column.offset % format::alignment != 0 || column.offset > end || size > end - column.offset)
      throw DataError(
          fmt::format("{}: byte {}: column '{}' would be at byte {}, which is not in the file or not "
                      "aligned",
                      name, at, printable(column.name.data()), column.offset));
    columns.push_back(column);
  }
  if (columns.empty() || columns.front().name.data() != format::index_column ||
      columns.front().type != format::Type::i64)
    throw DataError(
        fmt::format("{}: byte {}: the first column is not '{}'", name, sizeof header, format::index_column));
  return columns;
}

/// The code of every index. @throws DataError if `indices` are not 0 to 15,624 in some order
std::vector<std::uint16_t> inverse(std::span<const std::int64_t> indices, const std::string& name) {
  constexpr std::uint16_t nothing = UINT16_MAX;
  static_assert(format::rows < nothing);
  std::vector<std::uint16_t> codes(indices.size(), nothing);
  for (std::size_t code = 0; code < indices.size(); ++code) {
    const std::int64_t index = indices[code];
    if (index < 0 || static_cast<std::size_t>(index) >= codes.size() ||
        codes[static_cast<std::size_t>(index)] != nothing)
      throw DataError(fmt::format("{}: the index {} of code {} is out of range or there twice", name, index, code));
    codes[static_cast<std::size_t>(index)] = static_cast<std::uint16_t>(code);
  }
  return codes;
}

/// Whether a value is better than another one in this column.
template <typename T>
bool better(T a, T b) {
  return std::is_floating_point_v<T> ? a > b : a < b;
}

}  // namespace

double Nb201Column::at(int code) const {
  return std::visit([&](const auto& all) { return static_cast<double>(all[static_cast<std::size_t>(code)]); }, values);
}

Nb201Table::Nb201Table(const std::filesystem::path& path) : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string name = path.string();
  for (const format::Column& column : checked_columns(bytes, checked_header(bytes, name), name)) {
    Nb201Column& added = columns_.emplace_back();
    added.name = column.name.data();
    if (column.type == format::Type::f32)
      added.values = values_at<float>(bytes, column.offset);
    else
      added.values = values_at<std::int64_t>(bytes, column.offset);
  }
  indices_ = std::get<1>(columns_.front().values);
  columns_.erase(columns_.begin());
  codes_ = inverse(indices_, name);
  for (const std::string_view required : format::required_columns) {
    const bool there = std::any_of(columns_.begin(), columns_.end(), [&](const Nb201Column& column) {
      return column.name == required && column.is_accuracy();
    });
    if (!there) throw DataError(fmt::format("{}: has no accuracies '{}'", name, required));
  }
}

const Nb201Column& Nb201Table::column(std::string_view name) const {
  std::vector<std::string> names;
  for (const Nb201Column& column : columns_) {
    if (column.name == name) return column;
    names.push_back(column.name);
  }
  const std::string nearest = nearest_match(name, names);
  throw ConfigError(fmt::format("unknown column '{}'{}; the table has {}", name,
                                nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest),
                                fmt::join(names, ", ")));
}

int Nb201Table::code_of_index(std::int64_t index) const {
  if (index < 0 || static_cast<std::size_t>(index) >= codes_.size())
    throw ConfigError(fmt::format("index {}, expected 0 to {}", index, codes_.size() - 1));
  return codes_[static_cast<std::size_t>(index)];
}

std::vector<int> best_codes(const Nb201Table& table, const Nb201Column& column, int count) {
  std::vector<int> codes(format::rows);
  std::iota(codes.begin(), codes.end(), 0);
  const auto middle = codes.begin() + std::clamp(count, 0, nb201_architectures);
  std::visit(
      [&](const auto& values) {
        std::partial_sort(codes.begin(), middle, codes.end(), [&](int a, int b) {
          const auto x = values[static_cast<std::size_t>(a)];
          const auto y = values[static_cast<std::size_t>(b)];
          return x != y ? better(x, y) : table.index_of(a) < table.index_of(b);
        });
      },
      column.values);
  codes.erase(middle, codes.end());
  return codes;
}

int rank_of(const Nb201Column& column, int code) {
  return std::visit(
      [&](const auto& values) {
        const auto own = values[static_cast<std::size_t>(code)];
        return 1 + static_cast<int>(std::count_if(values.begin(), values.end(),
                                                  [&](const auto& value) { return better(value, own); }));
      },
      column.values);
}

}  // namespace dnas::search
