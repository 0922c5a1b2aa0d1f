#include "core/nb201_text.hpp"

#include "core/genotype_check.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <utility>

namespace dnas::search {

bool is_nb201(const Genotype& genotype) {
  if (genotype.cells.size() != 1 || genotype.cells.front().name != "cell") return false;
  const CellGenotype& cell = genotype.cells.front().cell;
  if (cell.inputs != 1 || cell.edges.empty()) return false;
  int to = 1;
  int from = 0;
  for (const GenotypeEdge& edge : cell.edges) {
    if (edge.to != to || edge.from != from) return false;
    if (++from == to) {
      ++to;
      from = 0;
    }
  }
  return from == 0 && cell.concat == std::vector<int>{to - 1};
}

std::string nb201_text(const CellGenotype& cell) {
  std::string text;
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    const GenotypeEdge& edge = cell.edges[i];
    if (i > 0 && cell.edges[i - 1].to != edge.to) text += "|+";
    fmt::format_to(std::back_inserter(text), "|{}~{}", edge.op, edge.from);
  }
  return text + "|";
}

Genotype parse_nb201(TextScanner& scanner) {
  CellGenotype cell{.edges = {}, .concat = {}, .inputs = 1};
  int node = 0;
  do {
    const std::size_t start = scanner.position();
    if (++node > max_cell_nodes) scanner.fail_at(start, fmt::format("expected at most {} nodes", max_cell_nodes));
    scanner.expect_next('|');
    for (int from = 0; from < node; ++from) {
      const std::size_t op_start = scanner.position();
      GenotypeEdge edge{.op = std::string(scanner.next_name("an operation")), .from = from, .to = node};
      if (candidates().find(edge.op) == nullptr) scanner.fail_at(op_start, unknown_operation(edge.op));
      scanner.expect_next('~');
      const std::size_t from_start = scanner.position();
      if (scanner.next_integer() != from) {
        scanner.fail_at(from_start, fmt::format("expected predecessor {} (node {} has an edge from each of states 0 to "
                                                "{}, in this order)",
                                                from, node, node - 1));
      }
      scanner.expect_next('|');
      cell.edges.push_back(std::move(edge));
    }
  } while (scanner.accept_next('+'));
  cell.concat = {node};
  return {{{"cell", std::move(cell)}}};
}

}  // namespace dnas::search
