#pragma once

#include "ops/state_bundle_cuda.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels::cuda {

/// What a launch of state_bundle_backward is made of: a pure function of the shapes, and of which tensors are null.
struct StateBundleBackwardLaunch {
  int channels = 0;           ///< of the tiles: 16, 32 or 64
  unsigned blocks = 0;        ///< per state; each takes several tiles if there are many
  unsigned groups = 0;        ///< of blocks, whose partial sums are added up before those of all groups are
  std::size_t shared = 0;     ///< bytes per block
  std::size_t workspace = 0;  ///< bytes
  bool fits = false;          ///< channels and shared memory are within what a block may have
};

[[nodiscard]] StateBundleBackwardLaunch state_bundle_backward_launch(int stride, std::span<const StateGradient> states,
                                                                     Product product);

}  // namespace dnas::kernels::cuda
