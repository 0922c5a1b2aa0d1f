#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels {

/// Depthwise (one filter per channel) convolution: y[n,i,j,c] = sum_{a,b} x[n, i*s - p + a*d, j*s - p + b*d, c] *
/// w[a,b,c], positions outside x counting as 0. Output extent: (H + 2p - d*(k-1) - 1) / s + 1.
///
/// Layouts: x [N, H, W, C] and y [N, H', W', C] NHWC, either may be a channel slice; w [k, k, C] dense; all f32.
/// Accumulates in f32. Bitwise repeatable and independent of the number of threads.
struct DepthwiseConv {
  int kernel = 3;
  int stride = 1;
  int dilation = 1;
  int padding = 1;

  /// @throws ShapeError if the output would be empty
  [[nodiscard]] Shape output_shape(const Shape& x) const;
};

/// @throws ShapeError, DtypeError naming the argument; ConfigError if an extent makes no sense; UnsupportedError beyond
/// a kernel of 15, a stride of 8 or a span (kernel - 1) * dilation + 1 of 25
void depthwise_conv_forward(const Context& ctx, const DepthwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y);

/// dx (+)= the gradient with respect to x, given dy.
void depthwise_conv_backward_data(const Context& ctx, const DepthwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write);

/// Scratch bytes for depthwise_conv_backward_weight; depends on the shapes only.
[[nodiscard]] std::size_t depthwise_conv_backward_weight_workspace(const DepthwiseConv& conv, const Shape& x);

/// dw (+)= the gradient with respect to w [k, k, C]. `workspace` must be 64-byte aligned.
void depthwise_conv_backward_weight(const Context& ctx, const DepthwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace);

}  // namespace dnas::kernels
