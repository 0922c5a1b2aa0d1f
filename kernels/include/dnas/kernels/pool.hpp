#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

/// Square pooling window. Output extent: (H + 2p - k) / s + 1. x [N, H, W, C], y [N, H', W', C] NHWC f32, either may be
/// a channel slice. Bitwise repeatable and independent of the number of threads.
struct Pool {
  int kernel = 3;
  int stride = 1;
  int padding = 1;

  /// @throws ShapeError if the output would be empty or a window could lie wholly in the padding
  [[nodiscard]] Shape output_shape(const Shape& x) const;
};

/// Maximum over the window (padding never wins). `argmax` [N, H', W', C] u8 dense receives the winning position
/// a * kernel + b in the window; the first of equal values wins; NaN wins over everything.
/// @throws ShapeError, DtypeError naming the argument; ConfigError if an extent makes no sense; UnsupportedError beyond
/// a kernel of 15, a stride of 8 or a span (kernel - 1) * dilation + 1 of 25
void max_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y,
                      const TensorView& argmax);

/// dx (+)= dy routed to the winners.
void max_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& argmax,
                       const TensorView& dx, Write write);

/// Average over the positions of the window that lie inside x (padding is not counted in the divisor).
void avg_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y);

/// dx (+)= the gradient with respect to x.
void avg_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& dx, Write write);

/// y[n, c] = mean over H, W of x[n, :, :, c]. x [N, H, W, C], y [N, C] dense; f32.
void global_avg_pool_forward(const Context& ctx, const TensorView& x, const TensorView& y);

/// dx[n, i, j, c] (+)= dy[n, c] / (H*W).
void global_avg_pool_backward(const Context& ctx, const TensorView& dy, const TensorView& dx, Write write);

}  // namespace dnas::kernels
