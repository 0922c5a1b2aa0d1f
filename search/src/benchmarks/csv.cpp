#include "benchmarks/csv.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dnas::search {

CsvReader::CsvReader(std::string_view text, std::string_view name) : rest_(text), name_(name) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (rest_.substr(0, byte_order_mark.size()) == byte_order_mark) rest_.remove_prefix(byte_order_mark.size());
}

std::string CsvReader::where() const {
  return fmt::format("{}:{}: ", name_, line_);
}

bool CsvReader::next(std::vector<std::string>& fields) {
  while (!rest_.empty()) {
    const std::size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    split(line, fields);
    return true;
  }
  return false;
}

void CsvReader::split(std::string_view line, std::vector<std::string>& fields) const {
  fields.assign(1, {});
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"') {
      quoted = i + 1 < line.size() && line[i + 1] == '"';  // twice: a quote of the text
      if (quoted) fields.back() += line[i++];
    } else if (!quoted && c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (!quoted && c == ',') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) throw DataError(fmt::format("{}a quote is not closed on its line", where()));
}

}  // namespace dnas::search
