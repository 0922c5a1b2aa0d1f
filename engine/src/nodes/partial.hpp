#pragma once

#include "dnas/engine/op.hpp"

namespace dnas::engine {

// Gradient operations take the partial sum so far as an optional input, whose memory their output then shares.

/// Sharing of an output with the partial sum at input `index`.
[[nodiscard]] inline Sharing share_partial(std::span<const TensorType> in, int index) {
  return in[static_cast<std::size_t>(index)].present ? Sharing{index, true, 0} : Sharing{};
}

/// Adds to the partial sum if there is one.
[[nodiscard]] inline Write write_mode(const TensorView& partial) {
  return partial ? Write::accumulate : Write::overwrite;
}

}  // namespace dnas::engine
