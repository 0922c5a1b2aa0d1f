#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

/// Row-wise softmax: p[r, k] = exp(x[r, k] - max) / sum. x, p: [R, K] f32 dense; p may be x.
/// @throws ShapeError, DtypeError naming the argument
void softmax_forward(const Context& ctx, const TensorView& x, const TensorView& p);

/// dx[r, k] = p[r, k] * (dp[r, k] - sum_j dp[r, j] p[r, j]). All [R, K] f32 dense; dx may be dp.
void softmax_backward(const Context& ctx, const TensorView& p, const TensorView& dp, const TensorView& dx);

}  // namespace dnas::kernels
