#pragma once

#include "core/product.hpp"
#include "dnas/kernels/normalisation.hpp"
#include "dnas/kernels/pointwise_conv.hpp"
#include "dnas/kernels/separable_bundle.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <array>
#include <cstddef>
#include <span>

// Device side of pointwise_conv.hpp with what stands around a 1x1 convolution in a cell: it reads a source that may be
// normalised and rectified on the way in, takes the batch statistics of what it stores, and its backward pass forms the
// gradient of its output from a normalisation gradient. So relu, 1x1 convolution and batch norm are one launch forward
// and one backward.
//
//   z = x, or s = (x - mean) * rstd for a source with a normalisation; relu(z) if asked for
//   y = W z, with a stride and an offset as pointwise_conv.hpp says
//   dy = scale * g + slope * (y - centre) + offset
//
// Tensors of pixels: f32, or all bf16 with Product::bf16, each may be a slice of channels; weights, statistics and
// gradients of weights: f32, dense. Device memory throughout; `stream` is a cudaStream_t. Arguments are taken as
// checked. Asynchronous, no allocation, capture-safe, bitwise repeatable for fixed shapes and alignment. Counters at
// the front of a workspace are zero before its first use and again after each.
namespace dnas::kernels::cuda {

struct PointwiseInput {
  BundleSource source;
  bool relu = false;
};

/// Statistics of y as stored. Null views: not wanted.
struct PointwiseStatistics {
  TensorView normalisation;  ///< [2, Cout], written
  RunningStatistics running;
};

/// Where dy comes from; without a `gradient`, dy = g and y is not read.
struct PointwiseOutputGradient {
  TensorView g;
  TensorView y;
  TensorView gradient;  ///< [4, Cout] or a null view
};

/// Null views: not wanted.
struct PointwiseInputGradient {
  TensorView dx;  ///< the gradient of z before the relu: that of s where the source has a normalisation
  Write write = Write::overwrite;
};

/// Bytes of device scratch; 0 without statistics.
[[nodiscard]] std::size_t pointwise_conv_forward_workspace(const Shape& y);

/// One launch. One group only, here and below.
void pointwise_conv_forward(const BatchNorm& bn, const PointwiseConv& conv, const PointwiseInput& input,
                            const TensorView& w, const TensorView& y, const PointwiseStatistics& statistics,
                            Product product, std::span<std::byte> workspace, void* stream);

/// Bytes of device scratch; needed only for gradients of the weights.
[[nodiscard]] std::size_t pointwise_conv_backward_workspace(const Shape& x, const Shape& y);

/// dx (+)= and dw (+)=: one launch for up to 64 output channels, else one for each. With Write::overwrite every element
/// of dx is written, 0 where x was not read. dx may overlap no other tensor.
void pointwise_conv_backward(const PointwiseConv& conv, const PointwiseInput& input, const TensorView& w,
                             const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                             const TensorView& dw, Write write_dw, Product product, std::span<std::byte> workspace,
                             void* stream);

/// The two 1x1 convolutions with stride 2 of a factorised reduce, as one operation: the first makes the first half of
/// y's channels, the second, of the pixels one further down and right (0 beyond the image), the other half. w: [Cout /
/// 2, Cin] each. y: [N, (H + 1) / 2, (W + 1) / 2, Cout]. Workspaces as above.
void factorised_reduce_forward(const BatchNorm& bn, const PointwiseInput& input, const std::array<TensorView, 2>& w,
                               const TensorView& y, const PointwiseStatistics& statistics, Product product,
                               std::span<std::byte> workspace, void* stream);

void factorised_reduce_backward(const PointwiseInput& input, const std::array<TensorView, 2>& w,
                                const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                                const std::array<TensorView, 2>& dw, Write write_dw, Product product,
                                std::span<std::byte> workspace, void* stream);

/// What a launch looks like; pure functions of the shapes, for tests and planning.
struct PointwiseTiling {
  int channel_tiles;    ///< of all halves: output channels forward, input channels backward
  int output_tiles;     ///< backward: of the output channels of a half, in launches for the gradient of the weights
  int tiles_per_block;  ///< tiles of 64 pixels
  int blocks;           ///< for each channel tile
  int counters;         ///< at the front of the workspace
};
[[nodiscard]] PointwiseTiling pointwise_forward_tiling(std::int64_t pixels, std::int64_t out_channels, int halves);
[[nodiscard]] PointwiseTiling pointwise_backward_tiling(std::int64_t pixels, std::int64_t in_channels,
                                                        std::int64_t out_channels, int halves);

}  // namespace dnas::kernels::cuda
