#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/normalisation.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

// All depthwise-separable convolutions that read one tensor, as one operation (docs/fused_mixed_operation.md).
//
// With z = relu(x), or z = relu((x - mean) * rstd) if x comes with a normalisation, every term k computes
//
//   d_k = depthwise(z, filter_k)      never stored
//   y_k = d_k pointwise_k^T           stored, with its batch statistics as a normalisation
//
// and the backward pass takes for each term the gradient of its normalised output in parts (normalisation.hpp):
// dy_k = scale_k * g_k + slope_k * (y_k - mean_k) + offset_k, which is formed where it is used and not stored either.
// One read of x serves all terms. Layouts: x [N, H, W, C]; y_k, g_k [N, H', W', C_k]; all NHWC f32, each may be a
// channel slice; filter_k [kernel, kernel, C]; pointwise_k [C_k, C]; both dense. Products go to the host GEMM library.
// Sums are in f32 within an image (statistics, sums of the source's gradient) or within the at most 1/8 of the batch
// that makes a chunk (weight gradients), and those in f64 or f32 in a fixed order: bitwise repeatable, independent of
// the threads. docs/numerics.md states the error.
namespace dnas::kernels {

/// The window of a term's depthwise convolution; the stride is the bundle's.
struct SeparableWindow {
  int kernel = 3;    ///< 1 to max_bundle_kernel
  int dilation = 1;  ///< with a span of at most max_bundle_span
  int padding = 1;   ///< smaller than the span
};

inline constexpr std::size_t max_bundle_terms = 64;
inline constexpr int max_bundle_kernel = 7;
inline constexpr int max_bundle_span = 25;  ///< of a window: (kernel - 1) * dilation + 1
inline constexpr int max_bundle_stride = 2;

/// The operation without its tensors: a stride of 1 or 2 and 1 to max_bundle_terms windows that yield one output
/// extent.
struct SeparableBundle {
  int stride = 1;
  std::span<const SeparableWindow> windows;

  /// Shape of term k's output. @throws ConfigError, UnsupportedError, ShapeError as the functions below
  [[nodiscard]] Shape output_shape(const Shape& x, std::size_t term, std::int64_t channels) const;
};

/// What the bundle reads.
struct BundleSource {
  TensorView x;
  TensorView normalisation;  ///< [2, C] or a null view
};

/// Tensors of one term's forward pass.
struct BundleTerm {
  TensorView filter;
  TensorView pointwise;
  TensorView y;              ///< written
  TensorView normalisation;  ///< [2, C_k], written
  RunningStatistics running;
};

/// Scratch bytes of the forward pass; depends on its arguments only. 64-byte aligned.
[[nodiscard]] std::size_t separable_bundle_forward_workspace(const Context& ctx, const SeparableBundle& bundle,
                                                             const Shape& x,
                                                             std::span<const std::int64_t> out_channels);

/// @throws ShapeError, DtypeError naming the argument; ConfigError if a window or the stride makes no sense;
/// UnsupportedError beyond the limits above
void separable_bundle_forward(const Context& ctx, const SeparableBundle& bundle, const BatchNorm& bn,
                              const BundleSource& source, std::span<const BundleTerm> terms,
                              std::span<std::byte> workspace);

/// Tensors of one term's backward pass.
struct BundleTermGradient {
  TensorView filter;
  TensorView pointwise;
  TensorView y;
  TensorView g;
  TensorView gradient;    ///< [4, C_k]: how dy is formed of g and y
  TensorView dfilter;     ///< overwritten; null view: not wanted
  TensorView dpointwise;  ///< likewise
};

/// The gradient of the source. Null views: not wanted.
struct BundleSourceGradient {
  TensorView dx;  ///< [N, H, W, C]; where x has a normalisation, the gradient of the normalised value (times [z > 0])
  Write write = Write::overwrite;
  /// Of a source with a normalisation: the gradient [4, C] that makes dx the gradient of x. Needs dx, overwritten.
  TensorView normalisation;
};

/// Scratch bytes of the backward pass; depends on its arguments only. 64-byte aligned.
[[nodiscard]] std::size_t separable_bundle_backward_workspace(const Context& ctx, const SeparableBundle& bundle,
                                                              const Shape& x,
                                                              std::span<const std::int64_t> out_channels);

/// dx may not overlap x, a y_k or a g_k. @throws as the forward pass
void separable_bundle_backward(const Context& ctx, const SeparableBundle& bundle, const BundleSource& source,
                               std::span<const BundleTermGradient> terms, const BundleSourceGradient& gradient,
                               std::span<std::byte> workspace);

}  // namespace dnas::kernels
