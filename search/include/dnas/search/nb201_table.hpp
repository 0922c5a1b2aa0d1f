#pragma once

#include "dnas/engine/mapped_file.hpp"
#include "dnas/search/nb201_code.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dnas::search {

/// One figure of every architecture, by code.
struct Nb201Column {
  std::string name;  ///< "c10_test"
  /// Accuracies in per cent, the more the better; or counts (parameters, multiply-adds), the fewer the better.
  std::variant<std::span<const float>, std::span<const std::int64_t>> values;

  [[nodiscard]] bool is_accuracy() const noexcept { return values.index() == 0; }
  /// @param code  0 to 15,624, not checked
  [[nodiscard]] double at(int code) const;
};

/// What is known of every architecture of NAS-Bench-201: a file that convert_nb201_csv() made, mapped into memory.
/// Opening checks all of it; every look-up is a few array accesses.
class Nb201Table {
 public:
  /// @throws MissingError, IoError; DataError if it is no such file, of another version, cut short or damaged
  explicit Nb201Table(const std::filesystem::path& path);

  /// `c10_test`, `c100_test` and `im16_test`, and what else the CSV file had, in its order.
  [[nodiscard]] std::span<const Nb201Column> columns() const noexcept { return columns_; }
  /// @throws ConfigError naming the choices
  [[nodiscard]] const Nb201Column& column(std::string_view name) const;

  /// The code of an architecture's number in the benchmark. @throws ConfigError if it is out of range
  [[nodiscard]] int code_of_index(std::int64_t index) const;
  /// The number in the benchmark. @param code  0 to 15,624, not checked
  [[nodiscard]] std::int64_t index_of(int code) const noexcept { return indices_[static_cast<std::size_t>(code)]; }

 private:
  engine::MappedFile file_;
  std::vector<Nb201Column> columns_;
  std::span<const std::int64_t> indices_;  // by code
  std::vector<std::uint16_t> codes_;       // by index
};

/// Codes of the `count` best architectures in a column, the best first; among equals the one of the lower index.
[[nodiscard]] std::vector<int> best_codes(const Nb201Table& table, const Nb201Column& column, int count);

/// How many architectures are better in a column, plus one.
[[nodiscard]] int rank_of(const Nb201Column& column, int code);

/// What convert_nb201_csv() did.
struct Nb201Conversion {
  std::vector<std::string> columns;
  std::vector<std::string> ignored;  ///< columns of the CSV file that are not taken
  std::uint64_t bytes = 0;           ///< of the file written
};

/// Makes the file of an Nb201Table from a CSV file, plain or gzip, in any order of rows. Its columns are found by the
/// names in its first line: `index` (the number in the benchmark), `arch` (parse_nb201_cell()), the accuracies
/// `c10_test`, `c100_test` and `im16_test` in per cent, and, where there are any, other accuracies
/// `{c10,c100,im16}_{train,val,test}[_12ep]` and the counts `{params,macs}_{c10,c100,im16}`. Others are ignored.
/// The file is replaced as one step; a file that is not such a table is not replaced.
/// @throws MissingError, IoError; DataError with file and line: columns missing or named twice, values that are none,
///         architectures or indices missing or there twice; ConfigError if `out` is something else
Nb201Conversion convert_nb201_csv(const std::filesystem::path& csv, const std::filesystem::path& out);

}  // namespace dnas::search
