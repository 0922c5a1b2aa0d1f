#pragma once

#include "dnas/engine/graph.hpp"

#include <cstdint>

namespace dnas::search {

/// What a network costs, in the figures that papers quote.
struct NetworkCost {
  std::int64_t parameters = 0;  ///< trainable scalars
  std::int64_t multiply_adds =
      0;  ///< of the convolutions and linear layers, for the whole batch the graph is built for
};

/// Counts a forward graph (before append_backward, whose nodes would count as well).
[[nodiscard]] NetworkCost cost_of(const engine::Graph& graph);

}  // namespace dnas::search
