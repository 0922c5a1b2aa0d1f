#include "core/genotype_check.hpp"
#include "core/genotype_json.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/genotype.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>

namespace dnas::search {
namespace {

// The largest published genotype has about 700 characters.
constexpr std::size_t max_length = 65536;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

// A printable form of a character, for messages.
std::string shown(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code < 0x7f ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02x}", code);
}

/// Recursive descent without recursion in the grammar, so that no input can exhaust the stack:
///   genotype: [NAME "="] "Genotype" "(" field {"," field} [","] ")"
///   field:    ("normal" | "reduce") "=" edges | ("normal_concat" | "reduce_concat") "=" concat
///   edges:    "[" [edge {"," edge} [","]] "]"        edge: "(" STRING "," INTEGER [","] ")"
///   concat:   "range" "(" INTEGER "," INTEGER ")" | "[" [INTEGER {"," INTEGER} [","]] "]"
class TextParser {
 public:
  explicit TextParser(std::string_view text) : text_(text) {}

  Genotype parse() {
    std::size_t start = position_;
    std::string_view word = name("Genotype(...)");
    if (word != "Genotype") {
      if (!accept('=')) fail_at(start, "expected 'Genotype' or 'NAME = Genotype'");
      skip_space();
      start = position_;
      word = name("Genotype(...)");
      if (word != "Genotype") fail_at(start, "expected 'Genotype'");
    }
    expect('(');
    bool seen[4] = {};
    Genotype genotype;
    do {
      if (peek() == ')') break;
      parse_field(genotype, seen);
    } while (accept(','));
    expect(')');
    for (std::size_t i = 0; i < 4; ++i) {
      if (!seen[i]) fail(fmt::format("'{}' is missing", fields[i]));
    }
    skip_space();
    if (position_ != text_.size()) fail("expected the end");
    return genotype;
  }

 private:
  static constexpr std::string_view fields[4] = {"normal", "normal_concat", "reduce", "reduce_concat"};

  void parse_field(Genotype& genotype, bool (&seen)[4]) {
    skip_space();
    const std::size_t start = position_;
    const std::string_view word = name("the name of a field");
    const auto index = static_cast<std::size_t>(std::find(std::begin(fields), std::end(fields), word) - fields);
    if (index == 4) fail_at(start, "expected normal, normal_concat, reduce or reduce_concat");
    if (seen[index]) fail_at(start, fmt::format("'{}' is given twice", word));
    seen[index] = true;
    expect('=');
    CellGenotype& cell = index < 2 ? genotype.normal : genotype.reduce;
    if (index % 2 == 0) {
      cell.edges = parse_edges();
    } else {
      cell.concat = parse_concat();
    }
  }

  std::vector<GenotypeEdge> parse_edges() {
    std::vector<GenotypeEdge> edges;
    expect('[');
    do {
      if (peek() == ']') break;
      edges.push_back(parse_edge(2 + static_cast<int>(edges.size() / 2)));
    } while (accept(','));
    expect(']');
    if (edges.size() % 2 != 0) {
      fail(fmt::format("a list of {} edges ends, expected two edges per node", edges.size()));
    }
    return edges;
  }

  GenotypeEdge parse_edge(int to) {
    expect('(');
    skip_space();
    std::size_t start = position_;
    GenotypeEdge edge{.op = std::string(quoted()), .from = 0, .to = to};
    if (candidates().find(edge.op) == nullptr) {
      fail_at(start, fmt::format("unknown operation '{}', expected one of {}", edge.op,
                                 fmt::join(candidates().names(), ", ")));
    }
    expect(',');
    skip_space();
    start = position_;
    edge.from = integer();
    if (edge.from >= to) {
      fail_at(start,
              fmt::format("predecessor {}, expected a state before {} (the state of this edge's node)", edge.from, to));
    }
    (void)accept(',');
    expect(')');
    return edge;
  }

  std::vector<int> parse_concat() {
    std::vector<int> concat;
    if (accept('[')) {
      do {
        if (peek() == ']') break;
        concat.push_back(integer());
      } while (accept(','));
      expect(']');
      return concat;
    }
    skip_space();
    const std::size_t start = position_;
    if (name("range(a, b) or a list") != "range") fail_at(start, "expected range(a, b) or a list");
    expect('(');
    const int first = integer();
    expect(',');
    const int last = integer();
    (void)accept(',');
    expect(')');
    for (int state = first; state < last; ++state)
      concat.push_back(state);
    return concat;
  }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_]))
      ++position_;
  }

  /// The next character that is not space; NUL at the end.
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(fmt::format("expected '{}'", c));
  }

  std::string_view name(std::string_view expected) {
    skip_space();
    const std::size_t start = position_;
    while (position_ < text_.size() && is_name_character(text_[position_]))
      ++position_;
    if (position_ == start) fail(fmt::format("expected {}", expected));
    return text_.substr(start, position_ - start);
  }

  std::string_view quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected the quoted name of an operation");
    const std::size_t start = ++position_;
    while (position_ < text_.size() && is_name_character(text_[position_]))
      ++position_;
    const std::string_view content = text_.substr(start, position_ - start);
    if (position_ == text_.size() || text_[position_] != quote) fail(fmt::format("expected the closing {}", quote));
    ++position_;
    return content;
  }

  int integer() {
    skip_space();
    const std::size_t start = position_;
    while (position_ < text_.size() && is_digit(text_[position_]))
      ++position_;
    if (position_ == start) fail("expected an integer that is not negative");
    int value = 0;
    const auto [end, error] = std::from_chars(text_.data() + start, text_.data() + position_, value);
    if (error != std::errc() || value > 2 + max_cell_nodes) {
      fail_at(start, fmt::format("expected an integer up to {}", 2 + max_cell_nodes));
    }
    return value;
  }

  [[noreturn]] void fail(std::string_view what) {
    skip_space();
    fail_at(position_, what);
  }

  [[noreturn]] void fail_at(std::size_t position, std::string_view what) const {
    const std::string found = position < text_.size() ? shown(text_[position]) : "the end";
    throw DataError(fmt::format("genotype: {} at position {}, found {}", what, position, found));
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

void check_cell(std::string_view cell_name, const CellGenotype& cell) {
  if (const auto problem = cell_problem(cell)) {
    throw DataError(fmt::format("genotype: {} cell: {}", cell_name, *problem));
  }
}

}  // namespace

Genotype parse_genotype(std::string_view text) {
  if (text.size() > max_length) {
    throw DataError(fmt::format("genotype: {} characters, expected at most {}", text.size(), max_length));
  }
  const auto first = std::find_if_not(text.begin(), text.end(), is_space);
  const bool json = first != text.end() && *first == '{';
  Genotype genotype = json ? parse_genotype_json(text) : TextParser(text).parse();
  check_cell("normal", genotype.normal);
  check_cell("reduce", genotype.reduce);
  return genotype;
}

}  // namespace dnas::search
