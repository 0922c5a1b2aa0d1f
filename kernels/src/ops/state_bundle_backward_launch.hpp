#pragma once

#include "ops/state_bundle_cuda.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels::cuda {

/// What a launch of state_bundle_backward is made of: a pure function of the shapes, and of which tensors are null.
struct StateBundleBackwardLaunch {
  int channels = 0;           ///< of the tiles: 16, 32 or 64
  unsigned blocks = 0;        ///< per state; each takes several tiles if there are many
  std::size_t counters = 0;   ///< at the front of the workspace
  std::size_t shared = 0;     ///< bytes per block
  std::size_t workspace = 0;  ///< bytes
  bool fits = false;          ///< channels are within a tile's, shared memory within what is available
};

[[nodiscard]] StateBundleBackwardLaunch state_bundle_backward_launch(int stride, std::span<const StateGradient> states,
                                                                     Product product,
                                                                     std::size_t available = h100_shared_bytes);

}  // namespace dnas::kernels::cuda
