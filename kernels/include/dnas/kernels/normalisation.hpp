#pragma once

#include "dnas/kernels/batch_norm.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

// Batch norm without affine part, taken apart: the kernels of the fused mixed operation never store a normalised
// tensor. They pass on how to normalise it, and how to form the gradient of what was normalised:
//
//   Normalisation            [2, C] f32 dense, rows mean and rstd = 1 / sqrt(var + eps), of x over all its M pixels;
//                            the normalised value is (x - mean) * rstd.
//   Normalisation gradient   [4, C] f32 dense, rows scale, slope, mean, offset; with g the gradient that scale belongs
//                            to, dx = scale * g + slope * (x - mean) + offset.
//
// The gradient of a loss that sees w * (x - mean) * rstd, with dL/d(sum over terms) = g, S = sum g and
// Q = sum g * (x - mean) over the pixels, is scale = w rstd, slope = -w rstd^3 Q / M, offset = -w rstd S / M.
// The mean is rounded to f32 once, so a normalised value has an error of up to |mean| * rstd * 6e-8, as has x itself,
// which was rounded to f32 before. (batch_norm.hpp keeps the rounding error of the mean; here it would be one more
// row.)
namespace dnas::kernels {

/// Rows of a normalisation and of a normalisation gradient.
enum NormalisationRow { mean_row, rstd_row, normalisation_rows };
enum NormalisationGradientRow { scale_row, slope_row, centre_row, offset_row, normalisation_gradient_rows };

/// Running statistics of one batch norm, [C] f32 dense each; both null views: none are kept.
struct RunningStatistics {
  TensorView mean;
  TensorView var;
};

/// Scratch bytes for batch_statistics; depends on the shape only. 64-byte aligned.
[[nodiscard]] std::size_t batch_statistics_workspace(const Shape& x);

/// Statistics of x [N, H, W, C] f32 (may be a channel slice) into `normalisation` [2, C]. Every batch norm in `running`
/// sees the same batch and moves its running statistics. Biased variance in the normalisation, unbiased in the running
/// one. Sums as batch_norm.hpp describes: the variance survives |mean| >> std, bitwise repeatable, independent of the
/// threads.
/// @throws ShapeError, DtypeError naming the argument
void batch_statistics(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                      std::span<const RunningStatistics> running, const TensorView& normalisation,
                      std::span<std::byte> workspace);

inline constexpr std::size_t max_normalisation_gradients = 64;

/// dx (+)= sum over e of scale_e * g_e + slope_e * (x - mean_e) + offset_e: the gradient of a tensor that several nodes
/// read normalised, in one pass over it. g_e [N, H, W, C] f32, dx and x likewise, each may be a channel slice;
/// gradients_e [4, C]. Terms are added in the order given. dx may be one of the g_e, or x. Bitwise repeatable and
/// independent of the threads.
/// @throws ShapeError if there are no terms or more than max_normalisation_gradients, or shapes differ; DtypeError
void normalisation_backward(const Context& ctx, const TensorView& x, std::span<const TensorView> g,
                            std::span<const TensorView> gradients, const TensorView& dx, Write write);

}  // namespace dnas::kernels
