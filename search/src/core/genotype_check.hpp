#pragma once

#include "dnas/search/genotype.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace dnas::search {

/// More inputs and nodes than any published cell has; keeps hostile files from asking for much memory.
inline constexpr int max_cell_inputs = 8;
inline constexpr int max_cell_nodes = 64;

/// What makes `cell` unusable, in words; std::nullopt if nothing does. Operations must be known, predecessors must be
/// cell inputs or earlier nodes, edges must be grouped by node in ascending order, and concat must name nodes, each
/// once, of which at least one has a value.
[[nodiscard]] std::optional<std::string> cell_problem(const CellGenotype& cell);

/// The same for a whole genotype, which must have cells of different names. Names the cell.
[[nodiscard]] std::optional<std::string> genotype_problem(const Genotype& genotype);

/// "unknown operation 'x' (did you mean 'y'?); known: ..."
[[nodiscard]] std::string unknown_operation(std::string_view op);

/// A cell that a network is built of.
/// @throws ConfigError if there is none of this name or it has another number of inputs
[[nodiscard]] const CellGenotype& required_cell(const Genotype& genotype, std::string_view name, int inputs);

/// Whether the cell is a chain: one input, node i + 1 has one edge, from state i, and the last state is the output.
[[nodiscard]] bool is_chain(const CellGenotype& cell);

}  // namespace dnas::search
