#pragma once

#include "core/blocks.hpp"
#include "dnas/kernels/normalisation.hpp"

#include <cstdint>
#include <span>

namespace dnas::kernels {

/// What a piece of a tensor's pixels adds to its channels' statistics, each [stride] floats of which the first
/// `channels` count: a shift near the values, the sum of x - shift, and the sum of its squares.
enum MomentRow { shift_row, sum_row, square_row, moment_rows };

/// The statistics of `pieces.total` pixels from the moments [pieces.count(), moment_rows, stride] of their pieces,
/// combined in f64 in order.
void finish_statistics(const BatchNorm& bn, const Blocks& pieces, const float* moments, std::int64_t stride,
                       std::span<const RunningStatistics> running, const TensorView& normalisation);

/// The gradient [4, C] of a normalised tensor of `pixels` pixels that a loss sees times `weight`: from the sums over
/// all pixels of g and of g * (x - mean), f64.
void finish_normalisation_gradient(const TensorView& normalisation, std::int64_t pixels, float weight,
                                   const double* sum_g, const double* sum_gx, const TensorView& gradient);

}  // namespace dnas::kernels
