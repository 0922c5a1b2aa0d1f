#include "dnas/search/genotype.hpp"

#include "core/genotype_check.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>

namespace dnas::search {
namespace {

constexpr int first_node = 2;

void check_two_edges_per_node(std::string_view cell_name, const CellGenotype& cell) {
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    const int expected = first_node + static_cast<int>(i / 2);
    if (cell.edges[i].to != expected || cell.edges.size() % 2 != 0) {
      throw ConfigError(fmt::format(
          "genotype: the {} cell has not exactly two edges at each node, which the text form cannot say; use JSON",
          cell_name));
    }
  }
}

std::string edges_text(const CellGenotype& cell) {
  std::string text;
  for (const GenotypeEdge& edge : cell.edges) {
    fmt::format_to(std::back_inserter(text), "{}('{}', {})", text.empty() ? "" : ", ", edge.op, edge.from);
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

nlohmann::ordered_json cell_json(const CellGenotype& cell) {
  nlohmann::ordered_json edges = nlohmann::ordered_json::array();
  for (const GenotypeEdge& edge : cell.edges) {
    edges.push_back({{"op", edge.op}, {"from", edge.from}, {"to", edge.to}});
  }
  return {{"edges", std::move(edges)}, {"concat", cell.concat}};
}

}  // namespace

std::string to_text(const Genotype& genotype) {
  check_two_edges_per_node("normal", genotype.normal);
  check_two_edges_per_node("reduce", genotype.reduce);
  return fmt::format("Genotype(normal={}, normal_concat={}, reduce={}, reduce_concat={})", edges_text(genotype.normal),
                     concat_text(genotype.normal.concat), edges_text(genotype.reduce),
                     concat_text(genotype.reduce.concat));
}

std::string to_json(const Genotype& genotype) {
  const nlohmann::ordered_json json = {
      {"schema", 1}, {"normal", cell_json(genotype.normal)}, {"reduce", cell_json(genotype.reduce)}};
  return json.dump(2) + "\n";
}

std::optional<std::string> cell_problem(const CellGenotype& cell) {
  std::array<bool, first_node + max_cell_nodes> exists{true, true};
  int previous = first_node;
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    const GenotypeEdge& edge = cell.edges[i];
    if (candidates().find(edge.op) == nullptr) {
      const auto names = candidates().names();
      const std::string nearest = nearest_match(edge.op, names);
      return fmt::format("edge {} has the unknown operation '{}'{}; known: {}", i, edge.op,
                         nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest), fmt::join(names, ", "));
    }
    if (edge.to < first_node || edge.to >= first_node + max_cell_nodes) {
      return fmt::format("edge {} leads to state {}, expected a node from {} to {}", i, edge.to, first_node,
                         first_node + max_cell_nodes - 1);
    }
    if (edge.to < previous)
      return fmt::format("edge {} leads to state {} after edges to state {}", i, edge.to, previous);
    if (edge.from < 0 || edge.from >= edge.to) {
      return fmt::format("edge {} comes from state {}, expected one before state {}", i, edge.from, edge.to);
    }
    if (!exists[static_cast<std::size_t>(edge.from)]) {
      return fmt::format("edge {} comes from state {}, which has no edges of its own", i, edge.from);
    }
    exists[static_cast<std::size_t>(edge.to)] = true;
    previous = edge.to;
  }

  if (cell.concat.empty()) return "concat is empty";
  std::array<bool, first_node + max_cell_nodes> taken{};
  for (const int state : cell.concat) {
    if (state < first_node || state >= first_node + max_cell_nodes || !exists[static_cast<std::size_t>(state)]) {
      return fmt::format("concat names state {}, which is not a node with edges", state);
    }
    if (taken[static_cast<std::size_t>(state)]) return fmt::format("concat names state {} twice", state);
    taken[static_cast<std::size_t>(state)] = true;
  }
  return std::nullopt;
}

}  // namespace dnas::search
