#pragma once

#include "core/reduce.cuh"
#include "dnas/kernels/normalisation.hpp"

#include <cuda_runtime.h>

// Statistics of a channel over pixels that many blocks see a part of each. A plain sum of squares loses all digits of
// the variance where |mean| >> std; so a part is described by its mean and the squares around it, and parts are merged
// in f64 about the mean of the first one (as Chan, Golub and LeVeque 1979 do, without a division per part).
namespace dnas::kernels::cuda {

/// What a tile of pixels says of one channel: how many there are is known from the tile.
struct Moments {
  float mean;
  float m2;  ///< sum of (x - mean)^2
};

/// Of `count` (at least 1) values, from the sums of x - shift and of its squares. Best with a shift that lies among the
/// values: one of them, say.
__device__ __forceinline__ Moments moments_about(float shift, float sum, float square, int count) {
  const float above = sum / static_cast<float>(count);
  const float m2 = square - sum * above;
  return {shift + above, m2 < 0.0F ? 0.0F : m2};  // this way round NaN stays NaN
}

/// Of several tiles, about a shift that they share. Has to be 0 at first: MomentSums sums{}.
struct MomentSums {
  double count;
  double sum;     // of x - shift
  double square;  // of (x - shift)^2

  __device__ __forceinline__ void add(const MomentSums& other) {
    count += other.count;
    sum += other.sum;
    square += other.square;
  }
};

/// What a long run of pixels says of one channel, with the mean left to f64.
struct ShiftedSums {
  float shift;   // a value of the run
  float sum;     // of x - shift
  float square;  // of (x - shift)^2
};

__device__ __forceinline__ MomentSums about(double shift, const ShiftedSums& run, std::int64_t count) {
  const auto n = static_cast<double>(count);
  const double above = static_cast<double>(run.shift) - shift;
  const auto sum = static_cast<double>(run.sum);
  return {n, sum + n * above, static_cast<double>(run.square) + above * (2.0 * sum + n * above)};
}

/// A tile of `count` pixels; nothing if there are none.
__device__ __forceinline__ MomentSums about(double shift, const Moments& tile, int count) {
  if (count == 0) return {};
  const auto n = static_cast<double>(count);
  const double above = static_cast<double>(tile.mean) - shift;
  return {n, n * above, static_cast<double>(tile.m2) + n * above * above};
}

/// A channel of the whole batch.
struct BatchMoments {
  double count;
  double mean;
  double m2;  // sum of (x - mean)^2

  [[nodiscard]] __device__ __forceinline__ double rstd(float epsilon) const {
    return 1.0 / sqrt(m2 / count + static_cast<double>(epsilon));
  }
};

__device__ __forceinline__ BatchMoments batch_moments(double shift, const MomentSums& sums) {
  const double above = sums.sum / sums.count;
  const double m2 = sums.square - sums.sum * above;
  // Rounding may push the squares of a constant channel below 0; NaN must stay NaN.
  return {sums.count, shift + above, m2 < 0.0 ? 0.0 : m2};
}

/// Rows mean and rstd of a normalisation [2, channels] (normalisation.hpp); variance biased.
__device__ __forceinline__ void write_normalisation(const BatchMoments& batch, float epsilon, float* normalisation,
                                                    int channels, int channel) {
  normalisation[mean_row * channels + channel] = static_cast<float>(batch.mean);
  normalisation[rstd_row * channels + channel] = static_cast<float>(batch.rstd(epsilon));
}

/// Running statistics of a batch norm; null pointers: none are kept.
struct Running {
  float* mean;
  float* var;
};

/// Moves them towards the batch; variance unbiased, of a single pixel biased (0), which keeps the estimate finite.
__device__ __forceinline__ void move_running(const BatchMoments& batch, float momentum, const Running& running,
                                             int channel) {
  if (running.mean == nullptr) return;
  const double unbiased = batch.m2 / (batch.count > 1.0 ? batch.count - 1.0 : 1.0);
  const auto step = static_cast<double>(momentum);
  float& mean = running.mean[channel];
  float& var = running.var[channel];
  mean = static_cast<float>((1.0 - step) * static_cast<double>(mean) + step * batch.mean);
  var = static_cast<float>((1.0 - step) * static_cast<double>(var) + step * unbiased);
}

/// Statistics of `channels` channels from the moments [tiles, stride] of their tiles: calls finish(channel, batch) with
/// a BatchMoments in one thread for each. All threads of the block call it, between barriers of the caller's (after
/// arrives_last, say); it ends with one. pixels_of(tile) says how many pixels a tile holds.
///
/// @param scratch  shared, [Threads]
template <int Threads, typename PixelsOf, typename Finish>
__device__ __forceinline__ void merge_moments(const Moments* moments, int tiles, int channels, int stride,
                                              MomentSums* scratch, PixelsOf&& pixels_of, Finish&& finish) {
  add_parts<Threads>(
      channels, tiles, scratch,
      [&](int tile, int channel) {
        const Moments part = moments[static_cast<std::int64_t>(tile) * stride + channel];
        return about(static_cast<double>(moments[channel].mean), part, pixels_of(tile));
      },
      [&](int channel, const MomentSums& sums) {
        finish(channel, batch_moments(static_cast<double>(moments[channel].mean), sums));
      });
}

}  // namespace dnas::kernels::cuda
