#pragma once

#include "dnas/search/genotype.hpp"

#include <optional>
#include <string>

namespace dnas::search {

/// More nodes than any published cell has; keeps hostile files from asking for much memory.
inline constexpr int max_cell_nodes = 64;

/// What makes `cell` unusable, in words; std::nullopt if nothing does. Operations must be known, predecessors must be
/// cell inputs or earlier nodes with edges of their own, edges must be grouped by node in ascending order, and concat
/// must name nodes that have edges, each once.
[[nodiscard]] std::optional<std::string> cell_problem(const CellGenotype& cell);

}  // namespace dnas::search
