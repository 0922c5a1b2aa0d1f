#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels {

/// 1x1 convolution: y[n,i,j,:] = W x[n, s*i + o, s*j + o, :], with stride s and offset o (o > 0 is the shifted branch
/// of a factorised reduce). Output extent: (H - o - 1) / s + 1.
///
/// With g groups, the channels of x and y are cut into g runs of equal length, and each run of y sees its run of x
/// only.
///
/// Layouts: x [N, H, W, Cin] and y [N, H', W', Cout] NHWC, either may be a channel slice; w [Cout, Cin / groups] dense;
/// all f32. The products go to the host GEMM library. Bitwise repeatable and independent of the number of threads.
struct PointwiseConv {
  int stride = 1;
  int offset = 0;
  int groups = 1;  ///< more than 1 on the host only: there is no CUDA version yet

  /// @throws ShapeError if the output would be empty, or the groups do not divide the channels of both
  [[nodiscard]] Shape output_shape(const Shape& x, std::int64_t out_channels) const;
};

/// @throws ShapeError, DtypeError naming the argument; ConfigError if the stride, offset or groups make no sense
void pointwise_conv_forward(const Context& ctx, const PointwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y);

/// dx (+)= the gradient with respect to x. With Write::overwrite every element of dx is written (zero where x was not
/// read).
void pointwise_conv_backward_data(const Context& ctx, const PointwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write);

/// Scratch bytes for pointwise_conv_backward_weight; depends on the shapes only.
[[nodiscard]] std::size_t pointwise_conv_backward_weight_workspace(const PointwiseConv& conv, const Shape& x,
                                                                   std::int64_t out_channels);

/// dw (+)= the gradient with respect to w [Cout, Cin / groups]. `workspace` must be 64-byte aligned.
void pointwise_conv_backward_weight(const Context& ctx, const PointwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace);

}  // namespace dnas::kernels
