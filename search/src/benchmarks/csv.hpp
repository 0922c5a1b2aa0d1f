#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {

/// Lines of comma-separated values (RFC 4180, but a quoted field ends on its line). Empty lines are passed over, a byte
/// order mark at the start too.
class CsvReader {
 public:
  /// @param name  of the file, for messages; both must outlive the reader
  CsvReader(std::string_view text, std::string_view name);

  /// Reads the next line into `fields`; false at the end. @throws DataError on a quote that is not closed
  [[nodiscard]] bool next(std::vector<std::string>& fields);
  /// Of the last line read, from 1.
  [[nodiscard]] std::size_t line() const noexcept { return line_; }
  /// "FILE:LINE: ", the start of a message.
  [[nodiscard]] std::string where() const;

 private:
  void split(std::string_view line, std::vector<std::string>& fields) const;

  std::string_view rest_;
  std::string_view name_;
  std::size_t line_ = 0;
};

}  // namespace dnas::search
