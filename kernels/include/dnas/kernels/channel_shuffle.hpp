#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

namespace dnas::kernels {

/// Channel j * groups + g of y is (or has added to it) channel g * (C / groups) + j of x, for all groups g: channels
/// that lie side by side in x come from all groups in y.
///
/// x, y: [N, H, W, C] f32, either may be a channel slice; they must not overlap. The inverse, and so the gradient, is
/// the shuffle by C / groups groups. Host only: there is no CUDA version yet. Source: Zhang et al. 2018, "ShuffleNet",
/// arXiv:1707.01083, section 3.1.
/// @throws ShapeError if groups does not divide C, or naming the argument; DtypeError
void channel_shuffle(const Context& ctx, std::int64_t groups, const TensorView& x, const TensorView& y, Write write);

}  // namespace dnas::kernels
