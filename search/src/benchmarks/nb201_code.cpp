#include "dnas/search/nb201_code.hpp"

#include "benchmarks/printable.hpp"
#include "dnas/engine/registry.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace dnas::search {
namespace {

constexpr int base = static_cast<int>(nb201_operations.size());
constexpr int nodes = 4;

void check_operation(int operation) {
  if (operation < 0 || operation >= base)
    throw ConfigError(fmt::format("NAS-Bench-201: operation {}, expected 0 to {}", operation, base - 1));
}

/// Reads a cell's text from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Nb201Cell cell() {
    Nb201Cell cell{};
    std::size_t edge = 0;
    for (int node = 1; node < nodes; ++node) {
      if (node > 1) expect('+');
      for (int input = 0; input < node; ++input) {
        expect('|');
        cell[edge++] = operation();
        expect('~');
        expect(static_cast<char>('0' + input));
      }
      expect('|');
    }
    if (at_ != text_.size()) fail("the end");
    return cell;
  }

 private:
  void expect(char c) {
    if (at_ == text_.size() || text_[at_] != c) fail(fmt::format("'{}'", c));
    ++at_;
  }

  int operation() {
    const std::string_view name = text_.substr(at_, std::min(text_.find_first_of("~|", at_), text_.size()) - at_);
    const auto* const found = std::find(nb201_operations.begin(), nb201_operations.end(), name);
    if (found == nb201_operations.end()) {
      const std::vector<std::string> names(nb201_operations.begin(), nb201_operations.end());
      const std::string nearest = nearest_match(name, names);
      fail(fmt::format("one of {}{}", fmt::join(names, ", "),
                       nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
    }
    at_ += name.size();
    return static_cast<int>(found - nb201_operations.begin());
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw DataError(
        fmt::format("architecture '{}': at character {}: expected {}; the form is |op~0|+|op~0|op~1|+|op~0|op~1|op~2|",
                    printable(text_), at_ + 1, expected));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

int nb201_code(const Nb201Cell& cell) {
  int code = 0;
  for (const int operation : cell) {
    check_operation(operation);
    code = base * code + operation;
  }
  return code;
}

Nb201Cell nb201_cell(int code) {
  if (code < 0 || code >= nb201_architectures)
    throw ConfigError(fmt::format("NAS-Bench-201: code {}, expected 0 to {}", code, nb201_architectures - 1));
  Nb201Cell cell{};
  for (auto edge = cell.rbegin(); edge != cell.rend(); ++edge) {
    *edge = code % base;
    code /= base;
  }
  return cell;
}

Nb201Cell nb201_cell(const Genotype& genotype) {
  // Only genotypes of such cells have a text that begins so.
  const std::string text = to_text(genotype);
  if (!text.empty() && text.front() == '|') return parse_nb201_cell(text);
  throw DataError(
      fmt::format("the genotype '{}' is not of the space of NAS-Bench-201: expected one cell 'cell' with one input and "
                  "{} edges",
                  printable(text), nb201_edges));
}

Nb201Cell parse_nb201_cell(std::string_view text) {
  return Reader(text).cell();
}

std::string to_text(const Nb201Cell& cell) {
  std::string text;
  std::size_t edge = 0;
  for (int node = 1; node < nodes; ++node) {
    if (node > 1) text += '+';
    for (int input = 0; input < node; ++input) {
      check_operation(cell[edge]);
      text += fmt::format("|{}~{}", nb201_operations[static_cast<std::size_t>(cell[edge++])], input);
    }
    text += '|';
  }
  return text;
}

}  // namespace dnas::search
