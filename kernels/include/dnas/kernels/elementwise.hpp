#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

/// y = max(x, 0). x, y: f32, same shape; y may be x. NaN stays NaN.
void relu_forward(const Context& ctx, const TensorView& x, const TensorView& y);

/// dx (+)= dy where y > 0, else 0. `y` is the output of the forward pass. All f32, same shape; dx may be dy.
void relu_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write);

/// y = min(max(x, 0), 6), dx (+)= dy where 0 < y < 6, else 0: otherwise as relu. Host only: there is no CUDA version
/// yet.
void relu6_forward(const Context& ctx, const TensorView& x, const TensorView& y);
void relu6_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write);

/// y (+)= x. f32, same shape, no overlap unless identical.
void copy(const Context& ctx, const TensorView& x, const TensorView& y, Write write);

/// y = value. f32. Host only: there is no CUDA version yet.
void fill(const Context& ctx, float value, const TensorView& y);

}  // namespace dnas::kernels
