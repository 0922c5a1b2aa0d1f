#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/draws.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

// Both are linear in x, and so their own gradients: dx (+)= the same function of dy with the same draws. Host only:
// there is no CUDA version yet.

/// y (+)= x / (1 - rate) where the element's uniform draw is at least `rate`, else 0: every element is dropped by
/// itself. With a rate of 0, y is x bit by bit.
///
/// x, y: f32 of one shape of any rank, either may be a channel slice; with Write::overwrite y may be x. rate: [1] f32,
/// in [0, 1). Source: Srivastava et al. 2014, "Dropout", with the scale in training (inverted dropout).
/// @throws ShapeError, DtypeError naming the argument; ConfigError if rate, step or site are out of range
void dropout(const Context& ctx, const TensorView& x, const TensorView& rate, const Draws& draws, const TensorView& y,
             Write write);

/// The same with one draw for each image (element n of [N]): all of an image is kept or dropped. x, y: [N, H, W, C].
/// Source: Larsson et al. 2017, "FractalNet", arXiv:1605.07648; Huang et al. 2016, "Deep Networks with Stochastic
/// Depth", arXiv:1603.09382.
void drop_path(const Context& ctx, const TensorView& x, const TensorView& rate, const Draws& draws, const TensorView& y,
               Write write);

}  // namespace dnas::kernels
