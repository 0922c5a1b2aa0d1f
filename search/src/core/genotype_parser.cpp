#include "core/genotype_check.hpp"
#include "core/genotype_json.hpp"
#include "core/nb201_text.hpp"
#include "core/text_scanner.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/genotype.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dnas::search {
namespace {

// The largest published genotype has about 700 characters; JSON of twenty cells has 50000.
constexpr std::size_t max_length = 262144;

constexpr int darts_inputs = 2;

/// The form of DARTS and FairDARTS. Recursive descent without recursion in the grammar, so that no input can exhaust
/// the stack:
///   genotype: "Genotype" "(" field {"," field} [","] ")"
///   field:    ("normal" | "reduce") "=" edges | ("normal_concat" | "reduce_concat") "=" concat
///   edges:    "[" [edge {"," edge} [","]] "]"
///   edge:     "(" STRING "," INTEGER [","] ")" | "(" STRING "," INTEGER "," INTEGER [","] ")"
///   concat:   "range" "(" INTEGER "," INTEGER ")" | "[" [INTEGER {"," INTEGER} [","]] "]"
/// An edge of two is (operation, from) and two of them belong to each node; an edge of three is (operation, to, from).
class DartsParser {
 public:
  explicit DartsParser(TextScanner& scanner) : scanner_(scanner) {}

  Genotype parse() {
    scanner_.expect('(');
    bool seen[4] = {};
    CellGenotype cells[2];
    do {
      if (scanner_.peek() == ')') break;
      parse_field(cells, seen);
    } while (scanner_.accept(','));
    scanner_.expect(')');
    for (std::size_t i = 0; i < 4; ++i) {
      if (!seen[i]) scanner_.fail(fmt::format("'{}' is missing", fields[i]));
    }
    for (std::size_t i = 0; i < 2; ++i) {
      if (numbers_[i] < 2) check_concat(fields[2 * i], cells[i]);
    }
    return {{{"normal", std::move(cells[0])}, {"reduce", std::move(cells[1])}}};
  }

 private:
  static constexpr std::string_view fields[4] = {"normal", "normal_concat", "reduce", "reduce_concat"};

  void parse_field(CellGenotype (&cells)[2], bool (&seen)[4]) {
    scanner_.skip_space();
    const std::size_t start = scanner_.position();
    const std::string_view word = scanner_.name("the name of a field");
    const auto index = static_cast<std::size_t>(std::find(std::begin(fields), std::end(fields), word) - fields);
    if (index == 4) scanner_.fail_at(start, "expected normal, normal_concat, reduce or reduce_concat");
    if (seen[index]) scanner_.fail_at(start, fmt::format("'{}' is given twice", word));
    seen[index] = true;
    scanner_.expect('=');
    if (index % 2 == 0)
      cells[index / 2].edges = parse_edges(numbers_[index / 2]);
    else
      cells[index / 2].concat = parse_concat();
  }

  /// @param numbers  in each tuple
  std::vector<GenotypeEdge> parse_edges(std::size_t& numbers) {
    std::vector<GenotypeEdge> edges;
    scanner_.expect('[');
    do {
      if (scanner_.peek() == ']') break;
      edges.push_back(parse_edge(edges, numbers));
    } while (scanner_.accept(','));
    scanner_.expect(']');
    if (numbers == 1 && edges.size() % 2 != 0) {
      scanner_.fail(fmt::format("a list of {} edges ends, expected two edges per node", edges.size()));
    }
    return edges;
  }

  GenotypeEdge parse_edge(const std::vector<GenotypeEdge>& earlier, std::size_t& numbers) {
    scanner_.expect('(');
    scanner_.skip_space();
    const std::size_t start = scanner_.position();
    GenotypeEdge edge{.op = std::string(scanner_.quoted()), .from = 0, .to = 0};
    if (candidates().find(edge.op) == nullptr) scanner_.fail_at(start, unknown_operation(edge.op));
    scanner_.expect(',');
    Number values[2] = {number(), {}};
    std::size_t count = 1;
    if (scanner_.accept(',') && scanner_.peek() != ')') {
      values[count++] = number();
      (void)scanner_.accept(',');
    }
    scanner_.expect(')');
    if (numbers != 0 && count != numbers) {
      scanner_.fail_at(start, fmt::format("a tuple of {} after tuples of {}, expected the same in all of a list",
                                          count + 1, numbers + 1));
    }
    numbers = count;
    if (count == 1) {
      edge.to = darts_inputs + static_cast<int>(earlier.size() / 2);
      edge.from = values[0].value;
    } else {
      edge.to = values[0].value;
      edge.from = values[1].value;
      check_node(values[0], earlier);
    }
    if (edge.from >= edge.to) {
      scanner_.fail_at(values[count - 1].position,
                       fmt::format("predecessor {}, expected a state before {} (the state of this edge's node)",
                                   edge.from, edge.to));
    }
    return edge;
  }

  struct Number {
    int value = 0;
    std::size_t position = 0;
  };

  Number number() {
    scanner_.skip_space();
    const std::size_t start = scanner_.position();
    return {scanner_.integer(), start};
  }

  void check_node(const Number& to, const std::vector<GenotypeEdge>& earlier) {
    constexpr int last = darts_inputs + max_cell_nodes - 1;
    if (to.value < darts_inputs || to.value > last) {
      scanner_.fail_at(to.position, fmt::format("an edge to state {}, expected a node from {} to {} (tuples are "
                                                "(operation, to, from))",
                                                to.value, darts_inputs, last));
    }
    if (!earlier.empty() && to.value < earlier.back().to) {
      scanner_.fail_at(to.position, fmt::format("an edge to state {} after edges to state {}, expected edges grouped "
                                                "by node",
                                                to.value, earlier.back().to));
    }
  }

  std::vector<int> parse_concat() {
    std::vector<int> concat;
    if (scanner_.accept('[')) {
      do {
        if (scanner_.peek() == ']') break;
        concat.push_back(scanner_.integer());
      } while (scanner_.accept(','));
      scanner_.expect(']');
      return concat;
    }
    scanner_.skip_space();
    const std::size_t start = scanner_.position();
    if (scanner_.name("range(a, b) or a list") != "range") scanner_.fail_at(start, "expected range(a, b) or a list");
    scanner_.expect('(');
    const int first = scanner_.integer();
    scanner_.expect(',');
    const int last = scanner_.integer();
    (void)scanner_.accept(',');
    scanner_.expect(')');
    for (int state = first; state < last; ++state)
      concat.push_back(state);
    return concat;
  }

  /// Where each node has two edges it is known how many nodes there are.
  static void check_concat(std::string_view name, const CellGenotype& cell) {
    const int states = cell.edges.empty() ? darts_inputs : cell.edges.back().to + 1;
    for (const int state : cell.concat) {
      if (state < states) continue;
      throw DataError(
          fmt::format("genotype: {} cell: concat names state {}, expected nodes before {}", name, state, states));
    }
  }

  TextScanner& scanner_;
  std::size_t numbers_[2] = {0, 0};  // in each tuple of a cell; 0: not known yet
};

/// Passes over "NAME =".
void skip_assignment(TextScanner& scanner) {
  scanner.skip_space();
  const std::size_t start = scanner.position();
  if (scanner.peek() == '|' || scanner.peek() == '{') return;
  const std::string_view word = scanner.name("Genotype(...), |op~0|+... or JSON");
  if (word == "Genotype") {
    scanner.go_back(start);
    return;
  }
  if (!scanner.accept('=')) {
    scanner.fail_at(start, "expected 'Genotype', '|', '{' or 'NAME = ' before one of them");
  }
}

}  // namespace

Genotype parse_genotype(std::string_view text) {
  if (text.size() > max_length) {
    throw DataError(fmt::format("genotype: {} characters, expected at most {}", text.size(), max_length));
  }
  TextScanner scanner(text);
  skip_assignment(scanner);
  Genotype genotype;
  if (scanner.peek() == '{') {
    genotype = parse_genotype_json(scanner.rest(), scanner.position());
  } else {
    if (scanner.peek() == '|') {
      genotype = parse_nb201(scanner);
    } else {
      const std::size_t start = scanner.position();
      if (scanner.name("Genotype(...)") != "Genotype") scanner.fail_at(start, "expected 'Genotype'");
      genotype = DartsParser(scanner).parse();
    }
    scanner.expect_end();
  }
  if (const auto problem = genotype_problem(genotype)) throw DataError("genotype: " + *problem);
  return genotype;
}

}  // namespace dnas::search
