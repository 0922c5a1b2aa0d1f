#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels {

/// Full (all channels to all channels) convolution without bias, for stems:
/// y[n,i,j,o] = sum_{a,b,c} x[n, i*s - p + a, j*s - p + b, c] * w[o,a,b,c], positions outside x counting as 0.
/// Kernel extents may differ (1x7, 7x1). Output extent per axis: (H + 2p - k) / s + 1.
///
/// Layouts: x [N, H, W, Cin], y [N, H', W', Cout] NHWC, either may be a channel slice; w [Cout, kh, kw, Cin] dense;
/// f32. Gathers patches of a few rows into the workspace and multiplies with the host GEMM library. Bitwise repeatable
/// and independent of the number of threads.
struct Conv {
  int kernel_h = 3;
  int kernel_w = 3;
  int stride_h = 1;
  int stride_w = 1;
  int padding_h = 1;
  int padding_w = 1;

  /// @throws ShapeError if the output would be empty
  [[nodiscard]] Shape output_shape(const Shape& x, std::int64_t out_channels) const;
};

/// Scratch bytes that suffice for each of the three passes: one patch buffer per thread (results do not depend on how
/// many there are). Must be 64-byte aligned.
[[nodiscard]] std::size_t conv_workspace(const Context& ctx, const Conv& conv, const Shape& x,
                                         std::int64_t out_channels);

/// @throws ShapeError, DtypeError naming the argument; ConfigError if the kernel, stride, padding or offset makes no
/// sense
void conv_forward(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& w, const TensorView& y,
                  std::span<std::byte> workspace);

/// dx (+)= the gradient with respect to x.
void conv_backward_data(const Context& ctx, const Conv& conv, const TensorView& dy, const TensorView& w,
                        const TensorView& dx, Write write, std::span<std::byte> workspace);

/// dw (+)= the gradient with respect to w [Cout, kh, kw, Cin].
void conv_backward_weight(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& dy,
                          const TensorView& dw, Write write, std::span<std::byte> workspace);

}  // namespace dnas::kernels
