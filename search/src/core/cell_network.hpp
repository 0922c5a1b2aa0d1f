#pragma once

#include "core/mixed_operations.hpp"

#include "dnas/engine/graph.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/space.hpp"

#include <vector>

namespace dnas::search {

/// Networks of cells: a stem, `layers` cells of which those at layers/3 and 2*layers/3 halve the extents and double the
/// channels, a global average pool and a linear classifier. Each cell sees the outputs of the two cells before it.
/// Source: Liu et al. 2019, arXiv:1806.09055, and the code released with it, whose state_dict names are used.

/// Appends the supernet of two choice groups, of the normal and of the reduction cells.
/// @throws ShapeError if an extent is odd where a cell halves it; ConfigError if a node has no candidate but none
[[nodiscard]] NetworkValues append_cell_supernet(engine::Graph& graph, const NetworkConfig& config,
                                                 const std::vector<ChoiceGroup>& groups, MixedOperations& mixed);

/// Appends the network of two sound cells (see cell_problem) of two inputs.
/// @throws ShapeError as above; ConfigError if a node has no operation but none, or the auxiliary classifier does not
/// fit
[[nodiscard]] NetworkValues append_cell_network(engine::Graph& graph, const NetworkConfig& config,
                                                const CellGenotype& normal, const CellGenotype& reduce);

}  // namespace dnas::search
