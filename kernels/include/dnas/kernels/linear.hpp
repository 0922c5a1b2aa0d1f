#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

/// y = x W^T + b. x [N, I], w [O, I], b [O] (null view: no bias), y [N, O]; f32 dense.
/// Bitwise repeatable and independent of the number of threads.
/// @throws ShapeError, DtypeError naming the argument
void linear_forward(const Context& ctx, const TensorView& x, const TensorView& w, const TensorView& b,
                    const TensorView& y);

/// dx (+)= dy W.
void linear_backward_data(const Context& ctx, const TensorView& dy, const TensorView& w, const TensorView& dx,
                          Write write);

/// dw = dy^T x and db = column sums of dy, both overwritten; db may be a null view.
void linear_backward_weight(const Context& ctx, const TensorView& x, const TensorView& dy, const TensorView& dw,
                            const TensorView& db);

}  // namespace dnas::kernels
