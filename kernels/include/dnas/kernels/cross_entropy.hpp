#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

/// Softmax cross-entropy, mean over the batch, with label smoothing e: the target distribution is
/// (1 - e) * onehot(label) + e / K. loss = -(1/N) sum_n sum_k target[n,k] * log p[n,k].
///
/// logits [N, K] f32 dense, labels [N] i64, loss [1] f32, p [N, K] f32 (softmax of the logits, for the backward pass).
/// A label outside [0, K) makes the loss NaN (checked where data enter, not here: kernels do not read back).
/// @throws ShapeError, DtypeError naming the argument; ConfigError if smoothing is not in [0, 1)
void cross_entropy_forward(const Context& ctx, const TensorView& logits, const TensorView& labels, float smoothing,
                           const TensorView& loss, const TensorView& p);

/// dlogits = (p - target) / N, overwritten.
void cross_entropy_backward(const Context& ctx, const TensorView& p, const TensorView& labels, float smoothing,
                            const TensorView& dlogits);

}  // namespace dnas::kernels
