#include "benchmarks/csv.hpp"
#include "benchmarks/nb201_format.hpp"
#include "benchmarks/printable.hpp"
#include "dnas/engine/file.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/nb201_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>

namespace dnas::search {
namespace {

namespace format = nb201_format;
using format::Type;

/// A column of the CSV file that is taken.
struct Source {
  std::string name;
  Type type = Type::f32;
  std::size_t field = 0;  // its place in a line
  std::vector<float> accuracies;
  std::vector<std::int64_t> counts;

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return type == Type::f32 ? std::as_bytes(std::span(accuracies)) : std::as_bytes(std::span(counts));
  }
};

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What a column of this name holds; std::nullopt if it is not taken.
std::optional<Type> type_of(std::string_view name) {
  if (name == format::index_column) return Type::i64;
  constexpr std::string_view few_epochs = "_12ep";
  const bool has_suffix = name.size() > few_epochs.size() && name.substr(name.size() - few_epochs.size()) == few_epochs;
  const std::string_view stem = has_suffix ? name.substr(0, name.size() - few_epochs.size()) : name;
  const std::size_t split = std::min(stem.find('_'), stem.size());
  const std::string_view first = stem.substr(0, split);
  const std::string_view second = stem.substr(std::min(split + 1, stem.size()));
  if (is_one_of(first, {"c10", "c100", "im16"}) && is_one_of(second, {"train", "val", "test"})) return Type::f32;
  if (!has_suffix && is_one_of(first, {"params", "macs"}) && is_one_of(second, {"c10", "c100", "im16"}))
    return Type::i64;
  return std::nullopt;
}

struct Columns {
  std::size_t arch = 0;  // its place in a line
  std::vector<Source> taken;
  std::vector<std::string> ignored;
};

Columns find_columns(const std::vector<std::string>& header, const std::string& where) {
  std::vector<std::string> wanted = {"arch", std::string(format::index_column)};
  wanted.insert(wanted.end(), format::required_columns.begin(), format::required_columns.end());
  std::vector<std::string> missing;
  for (const std::string& name : wanted) {
    if (std::find(header.begin(), header.end(), name) == header.end()) missing.push_back(name);
  }
  if (!missing.empty())
    throw DataError(fmt::format("{}no column {}; the first line must name at least {}; it is '{}'", where,
                                fmt::join(missing, ", "), fmt::join(wanted, ", "),
                                printable(fmt::format("{}", fmt::join(header, ",")))));
  Columns columns;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const std::string& name = header[i];
    const std::optional<Type> type = type_of(name);
    if (!type && name != "arch") {
      columns.ignored.push_back(printable(name));
      continue;
    }
    if (std::find(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(i), name) !=
        header.begin() + static_cast<std::ptrdiff_t>(i))
      throw DataError(fmt::format("{}the column '{}' is there twice", where, name));
    if (!type) {
      columns.arch = i;
      continue;
    }
    Source& source = columns.taken.emplace_back();
    source.name = name;
    source.type = *type;
    source.field = i;
    if (*type == Type::f32)
      source.accuracies.resize(format::rows);
    else
      source.counts.resize(format::rows);
  }
  std::stable_partition(columns.taken.begin(), columns.taken.end(),
                        [](const Source& source) { return source.name == format::index_column; });
  return columns;
}

template <typename T>
bool parse_whole(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

void read_value(Source& source, std::size_t code, std::string_view text, const std::string& where) {
  if (source.type == Type::f32) {
    float& value = source.accuracies[code];
    if (parse_whole(text, value) && value >= 0.0F && value <= 100.0F) return;
    throw DataError(
        fmt::format("{}{} is '{}', expected a number from 0 to 100 (per cent)", where, source.name, printable(text)));
  }
  std::int64_t& value = source.counts[code];
  const bool index = source.name == format::index_column;
  const std::int64_t largest = index ? nb201_architectures - 1 : std::numeric_limits<std::int64_t>::max();
  if (parse_whole(text, value) && value >= 0 && value <= largest) return;
  throw DataError(fmt::format("{}{} is '{}', expected a whole number{}", where, source.name, printable(text),
                              index ? fmt::format(" from 0 to {}", largest) : " of at least 0"));
}

/// Fills the columns; every architecture and every index must be there once.
void read_rows(CsvReader& csv, std::size_t fields_expected, Columns& columns) {
  std::vector<std::size_t> line_of_code(format::rows);  // 0: not seen
  std::vector<std::size_t> line_of_index(format::rows);
  const auto claim = [&](std::size_t& line, const std::string& what) {
    if (line != 0) throw DataError(fmt::format("{}{} is there twice, first in line {}", csv.where(), what, line));
    line = csv.line();
  };
  std::vector<std::string> fields;
  while (csv.next(fields)) {
    const std::string where = csv.where();
    if (fields.size() != fields_expected)
      throw DataError(fmt::format("{}{} fields, expected {} as in the first line; was the file cut short?", where,
                                  fields.size(), fields_expected));
    std::size_t code = 0;
    try {
      code = static_cast<std::size_t>(nb201_code(parse_nb201_cell(fields[columns.arch])));
    } catch (const DataError& error) {
      throw DataError(where + error.what());
    }
    claim(line_of_code[code], fmt::format("the architecture '{}'", fields[columns.arch]));
    for (Source& source : columns.taken)
      read_value(source, code, fields[source.field], where);
    const std::int64_t index = columns.taken.front().counts[code];
    claim(line_of_index[static_cast<std::size_t>(index)], fmt::format("the index {}", index));
  }
  const auto unseen = std::find(line_of_code.begin(), line_of_code.end(), std::size_t{0});
  if (unseen == line_of_code.end()) return;
  throw DataError(
      fmt::format("{}the file ends here without {} of the {} architectures, '{}' for one; a table has all of them",
                  csv.where(), std::count(unseen, line_of_code.end(), std::size_t{0}), format::rows,
                  to_text(nb201_cell(static_cast<int>(unseen - line_of_code.begin())))));
}

/// Fractions pass for very small percentages, one by one.
void check_unit(const Columns& columns, const std::string& name) {
  for (const Source& source : columns.taken) {
    if (source.type != Type::f32) continue;
    const float largest = *std::max_element(source.accuracies.begin(), source.accuracies.end());
    if (largest > 1.0F) continue;
    throw DataError(
        fmt::format("{}: the largest {} is {}: fractions, it seems; expected per cent", name, source.name, largest));
  }
}

std::string file_content(const Columns& columns) {
  std::size_t offset = format::aligned(sizeof(format::Header) + columns.taken.size() * sizeof(format::Column));
  std::vector<format::Column> described;
  for (const Source& source : columns.taken) {
    format::Column& column = described.emplace_back();
    std::copy(source.name.begin(), source.name.end(), column.name.begin());
    column.type = source.type;
    column.offset = offset;
    offset = format::aligned(offset + source.bytes().size());
  }
  format::Header header;
  header.columns = static_cast<std::uint32_t>(described.size());
  header.bytes = offset + format::hash_digits;

  std::string content(offset, '\0');
  std::memcpy(content.data(), &header, sizeof header);
  std::memcpy(content.data() + sizeof header, described.data(), described.size() * sizeof(format::Column));
  for (std::size_t i = 0; i < described.size(); ++i) {
    const std::span<const std::byte> bytes = columns.taken[i].bytes();
    std::memcpy(content.data() + described[i].offset, bytes.data(), bytes.size());
  }
  return content + engine::hash_of(std::as_bytes(std::span(content)));
}

bool starts_with_magic(std::string_view content) {
  return content.substr(0, format::magic.size()) == std::string_view(format::magic.data(), format::magic.size());
}

/// A slip of the keyboard should not cost a file that is something else, the CSV file least of all.
void check_replaceable(const std::filesystem::path& out) {
  std::error_code unknown;
  const std::filesystem::file_status status = std::filesystem::status(out, unknown);
  if (!std::filesystem::exists(status)) return;  // or it cannot be looked at: writing will say so
  if (std::filesystem::is_regular_file(status)) {
    const engine::MappedFile file(out);
    const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    if (starts_with_magic(content)) return;
  }
  throw ConfigError(
      fmt::format("{} is there and no NAS-Bench-201 table; remove it, or write to another file", out.string()));
}

}  // namespace

Nb201Conversion convert_nb201_csv(const std::filesystem::path& csv, const std::filesystem::path& out) {
  check_replaceable(out);
  const std::string name = csv.string();
  const std::string text = engine::read_unpacked_text(csv);
  if (starts_with_magic(text)) throw DataError(fmt::format("{}: is a table already, expected a CSV file", name));
  CsvReader reader(text, name);
  std::vector<std::string> header;
  if (!reader.next(header)) throw DataError(fmt::format("{}: is empty, expected a CSV file", name));
  Columns columns = find_columns(header, reader.where());
  read_rows(reader, header.size(), columns);
  check_unit(columns, name);
  const std::string content = file_content(columns);
  engine::write_text_atomically(out, content);

  Nb201Conversion done;
  for (const Source& source : columns.taken) {
    if (source.name != format::index_column) done.columns.push_back(source.name);
  }
  done.ignored = std::move(columns.ignored);
  done.bytes = content.size();
  return done;
}

}  // namespace dnas::search
