#include "core/genotype_json.hpp"
#include "core/nb201_text.hpp"
#include "dnas/search/genotype.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace dnas::search {
namespace {

constexpr int darts_inputs = 2;

/// Tuples (op, from) say the node by their place: two for each.
bool has_two_edges_per_node(const CellGenotype& cell) {
  const auto nodes = static_cast<int>(cell.edges.size() / 2);
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    if (cell.edges[i].to != darts_inputs + static_cast<int>(i / 2)) return false;
  }
  return cell.edges.size() % 2 == 0 &&
         std::all_of(cell.concat.begin(), cell.concat.end(), [&](int state) { return state < darts_inputs + nodes; });
}

std::string edges_text(const CellGenotype& cell, bool with_node) {
  std::string text;
  for (const GenotypeEdge& edge : cell.edges) {
    fmt::format_to(std::back_inserter(text), "{}('{}', ", text.empty() ? "" : ", ", edge.op);
    if (with_node) fmt::format_to(std::back_inserter(text), "{}, ", edge.to);
    fmt::format_to(std::back_inserter(text), "{})", edge.from);
  }
  return "[" + text + "]";
}

std::string concat_text(const std::vector<int>& concat) {
  bool consecutive = !concat.empty();
  for (std::size_t i = 1; i < concat.size(); ++i)
    consecutive = consecutive && concat[i] == concat[i - 1] + 1;
  if (consecutive) return fmt::format("range({}, {})", concat.front(), concat.back() + 1);
  return fmt::format("[{}]", fmt::join(concat, ", "));
}

bool is_darts(const Genotype& genotype) {
  const auto& cells = genotype.cells;
  return cells.size() == 2 && cells[0].name == "normal" && cells[1].name == "reduce" &&
         cells[0].cell.inputs == darts_inputs && cells[1].cell.inputs == darts_inputs;
}

}  // namespace

std::string to_text(const Genotype& genotype) {
  if (is_nb201(genotype)) return nb201_text(genotype.cells.front().cell);
  if (!is_darts(genotype)) return genotype_json(genotype, -1);
  const CellGenotype& normal = genotype.cells[0].cell;
  const CellGenotype& reduce = genotype.cells[1].cell;
  const bool with_node = !has_two_edges_per_node(normal) || !has_two_edges_per_node(reduce);
  return fmt::format("Genotype(normal={}, normal_concat={}, reduce={}, reduce_concat={})",
                     edges_text(normal, with_node), concat_text(normal.concat), edges_text(reduce, with_node),
                     concat_text(reduce.concat));
}

}  // namespace dnas::search
