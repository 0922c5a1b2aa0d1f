#include "dnas/search/genotype.hpp"

#include "core/genotype_check.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bitset>
#include <cstddef>

namespace dnas::search {
namespace {

constexpr std::size_t max_states = max_cell_inputs + max_cell_nodes;
using States = std::bitset<max_states>;

/// The states that have a value: inputs, and nodes with an edge from such a state.
States valued_states(const CellGenotype& cell) {
  States valued;
  for (int state = 0; state < cell.inputs; ++state)
    valued.set(static_cast<std::size_t>(state));
  for (const GenotypeEdge& edge : cell.edges) {
    if (valued[static_cast<std::size_t>(edge.from)]) valued.set(static_cast<std::size_t>(edge.to));
  }
  return valued;
}

std::optional<std::string> edges_problem(const CellGenotype& cell) {
  const int last_node = cell.inputs + max_cell_nodes - 1;
  int previous = cell.inputs;
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    const GenotypeEdge& edge = cell.edges[i];
    if (candidates().find(edge.op) == nullptr) return fmt::format("edge {} has the {}", i, unknown_operation(edge.op));
    if (edge.to < cell.inputs || edge.to > last_node) {
      return fmt::format("edge {} leads to state {}, expected a node from {} to {}", i, edge.to, cell.inputs,
                         last_node);
    }
    if (edge.to < previous)
      return fmt::format("edge {} leads to state {} after edges to state {}", i, edge.to, previous);
    if (edge.from < 0 || edge.from >= edge.to) {
      return fmt::format("edge {} comes from state {}, expected one before state {}", i, edge.from, edge.to);
    }
    previous = edge.to;
  }
  return std::nullopt;
}

std::optional<std::string> concat_problem(const CellGenotype& cell) {
  if (cell.concat.empty()) return "concat is empty";
  const States valued = valued_states(cell);
  States taken;
  bool any = false;
  for (const int state : cell.concat) {
    if (state < cell.inputs || state >= cell.inputs + max_cell_nodes) {
      return fmt::format("concat names state {}, which is not a node", state);
    }
    const auto index = static_cast<std::size_t>(state);
    if (taken[index]) return fmt::format("concat names state {} twice", state);
    taken.set(index);
    any = any || valued[index];
  }
  if (any) return std::nullopt;
  if (cell.concat.size() == 1) return fmt::format("concat names state {}, which has no edges", cell.concat.front());
  return fmt::format("concat names states {}, none of which has edges", fmt::join(cell.concat, ", "));
}

bool is_cell_name(std::string_view name) {
  constexpr std::size_t max_length = 64;
  return !name.empty() && name.size() <= max_length && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::string cell_names(const Genotype& genotype) {
  std::vector<std::string> names;
  for (const NamedCell& named : genotype.cells)
    names.push_back("'" + named.name + "'");
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

const CellGenotype* Genotype::find(std::string_view name) const noexcept {
  for (const NamedCell& named : cells) {
    if (named.name == name) return &named.cell;
  }
  return nullptr;
}

const CellGenotype& Genotype::cell(std::string_view name) const {
  if (const CellGenotype* found = find(name)) return *found;
  if (cells.empty()) throw ConfigError(fmt::format("genotype: no cell '{}'; it has no cells", name));
  throw ConfigError(fmt::format("genotype: no cell '{}'; it has {}", name, cell_names(*this)));
}

CellGenotype& Genotype::cell(std::string_view name) {
  return const_cast<CellGenotype&>(std::as_const(*this).cell(name));
}

CellGenotype pruned(const CellGenotype& cell) {
  const States valued = valued_states(cell);
  const auto has_value = [&](int state) { return valued[static_cast<std::size_t>(state)]; };
  CellGenotype result{.edges = {}, .concat = {}, .inputs = cell.inputs};
  std::copy_if(cell.edges.begin(), cell.edges.end(), std::back_inserter(result.edges),
               [&](const GenotypeEdge& edge) { return has_value(edge.from); });
  std::copy_if(cell.concat.begin(), cell.concat.end(), std::back_inserter(result.concat), has_value);
  return result;
}

std::string unknown_operation(std::string_view op) {
  const auto names = candidates().names();
  const std::string nearest = nearest_match(op, names);
  return fmt::format("unknown operation '{}'{}; known: {}", op,
                     nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest), fmt::join(names, ", "));
}

std::optional<std::string> cell_problem(const CellGenotype& cell) {
  if (cell.inputs < 1 || cell.inputs > max_cell_inputs)
    return fmt::format("it has {} inputs, expected 1 to {}", cell.inputs, max_cell_inputs);
  if (auto problem = edges_problem(cell)) return problem;
  return concat_problem(cell);
}

std::optional<std::string> genotype_problem(const Genotype& genotype) {
  if (genotype.cells.empty()) return "it has no cells";
  for (const NamedCell& named : genotype.cells) {
    if (!is_cell_name(named.name)) {
      return fmt::format("a cell is called '{:.70}', expected up to 64 letters, digits and underscores", named.name);
    }
    if (genotype.find(named.name) != &named.cell) return fmt::format("two cells are called '{}'", named.name);
    if (const auto problem = cell_problem(named.cell)) return fmt::format("{} cell: {}", named.name, *problem);
  }
  return std::nullopt;
}

const CellGenotype& required_cell(const Genotype& genotype, std::string_view name, int inputs) {
  const CellGenotype* cell = genotype.find(name);
  if (cell == nullptr) {
    throw ConfigError(
        fmt::format("genotype: its cells are {}, but the network has a cell '{}'; choose the space it was found in",
                    cell_names(genotype), name));
  }
  if (cell->inputs != inputs) {
    throw ConfigError(
        fmt::format("genotype: {} cell: it has {} inputs, but the network's has {}", name, cell->inputs, inputs));
  }
  return *cell;
}

bool is_chain(const CellGenotype& cell) {
  if (cell.inputs != 1 || cell.edges.empty()) return false;
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    if (cell.edges[i].from != static_cast<int>(i) || cell.edges[i].to != static_cast<int>(i) + 1) return false;
  }
  return cell.concat == std::vector<int>{cell.edges.back().to};
}

}  // namespace dnas::search
