#include "ops/batch_norm_cuda.hpp"

#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/reduce.cuh"
#include "core/shared_memory.cuh"
#include "ops/channel_walk.cuh"
#include "ops/normalisation_cuda.hpp"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

// --- what the kernels are given -------------------------------------------------------------------------------------

/// How a channel is normalised, [C] each; null pointers stand for 1 (gamma) or 0.
struct Affine {
  const float* mean;
  const float* residual;  // what rounding took from the mean
  const float* rstd;      // or, if null, from
  const float* var;
  float epsilon;
  const float* gamma;
  const float* beta;
};

/// Sums over pixels of a channel: of dy, of dy * (x - mean), and of x - mean, which is not 0 because the mean was
/// rounded to f32.
struct GradientSums {
  double dy;
  double dy_x;
  double x;

  __device__ __forceinline__ void add(const GradientSums& other) {
    dy += other.dy;
    dy_x += other.dy_x;
    x += other.x;
  }
};

struct BackwardRows {
  const float* gamma;  // null: 1
  const float* mean;
  const float* rstd;
  float* dgamma;    // null: not wanted
  float* dbeta;     // likewise
  float* gradient;  // [4, C], normalisation.hpp
};

// --- kernels --------------------------------------------------------------------------------------------------------

/// y = (x - mean) * scale + bias. Subtracting first keeps the digits that a large mean would cost.
template <typename T, int Width>
__global__ void __launch_bounds__(walk_threads)
    normalise_kernel(const ChannelWalk walk, const Pixels<const T> x, const Affine affine, const Pixels<T> y) {
  const WalkThread<Width> mine(walk);
  if (mine.idle) return;
  Vec<Width> mean;
  Vec<Width> scale;
  Vec<Width> bias;
  for (int j = 0; j < Width; ++j) {
    const int c = mine.channel + j;
    double factor = 0.0;
    if (affine.rstd != nullptr) {
      factor = static_cast<double>(affine.rstd[c]);
    } else {
      factor = 1.0 / sqrt(static_cast<double>(affine.var[c]) + static_cast<double>(affine.epsilon));
    }
    if (affine.gamma != nullptr) factor *= static_cast<double>(affine.gamma[c]);
    const double residual = affine.residual != nullptr ? static_cast<double>(affine.residual[c]) : 0.0;
    const double beta = affine.beta != nullptr ? static_cast<double>(affine.beta[c]) : 0.0;
    mean.lane[j] = affine.mean[c];
    scale.lane[j] = static_cast<float>(factor);
    bias.lane[j] = static_cast<float>(beta - residual * factor);
  }
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> value[n];
    mine.load_pixels(x, p, value);
#pragma unroll
    for (int i = 0; i < n; ++i) {
#pragma unroll
      for (int j = 0; j < Width; ++j)
        value[i].lane[j] = fmaf(value[i].lane[j] - mean.lane[j], scale.lane[j], bias.lane[j]);
      store(y.at(p + std::int64_t{i} * mine.rows, mine.channel), value[i]);
    }
  });
}

/// Part blockIdx.x of the three sums, parts [blocks, 3, C]; in the last block of its channels their gradients.
template <typename T, int Width>
__global__ void __launch_bounds__(walk_threads)
    gradient_sums_kernel(const ChannelWalk walk, const Pixels<const T> x, const Pixels<const T> dy,
                         const BackwardRows rows, float* parts, unsigned* counters) {
  SharedMemory memory;
  auto* const row_sums = memory.take<float>(3 * Width * walk_threads);
  auto* const scratch = memory.take<GradientSums>(walk_threads);
  const WalkThread<Width> mine(walk);
  float sum[3 * Width] = {};
  float mean[Width] = {};
  for (int j = 0; j < Width; ++j) {
    if (!mine.idle) mean[j] = rows.mean[mine.channel + j];
  }
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> value[n];
    Vec<Width> g[n];
    mine.load_pixels(x, p, value);
    mine.load_pixels(dy, p, g);
#pragma unroll
    for (int i = 0; i < n; ++i) {
#pragma unroll
      for (int j = 0; j < Width; ++j) {
        const float above = value[i].lane[j] - mean[j];
        sum[j] += g[i].lane[j];
        sum[Width + j] = fmaf(g[i].lane[j], above, sum[Width + j]);
        sum[2 * Width + j] += above;
      }
    }
  });
  sum_rows(sum, walk.lanes, row_sums);
  if (!mine.idle && mine.row == 0) {
    float* const part = parts + std::int64_t{blockIdx.x} * 3 * walk.channels + mine.channel;
    for (int k = 0; k < 3; ++k) {
      for (int j = 0; j < Width; ++j)
        part[k * walk.channels + j] = sum[k * Width + j];
    }
  }

  if (!arrives_last(counters + blockIdx.y, gridDim.x)) return;
  const int first = static_cast<int>(blockIdx.y) * walk.lanes * Width;
  const int channels = walk.channels - first < walk.lanes * Width ? walk.channels - first : walk.lanes * Width;
  add_parts<walk_threads>(
      channels, static_cast<int>(gridDim.x), scratch,
      [&](int part, int channel) {
        const float* const of = parts + std::int64_t{part} * 3 * walk.channels + first + channel;
        return GradientSums{static_cast<double>(of[0]), static_cast<double>(of[walk.channels]),
                            static_cast<double>(of[2 * walk.channels])};
      },
      [&](int channel, const GradientSums& sums) {
        const int c = first + channel;
        const auto pixels = static_cast<double>(walk.pixels);
        const auto rstd = static_cast<double>(rows.rstd[c]);
        const double residual = sums.x / pixels;
        const double sum_dy_xhat = (sums.dy_x - residual * sums.dy) * rstd;
        if (rows.dgamma != nullptr) rows.dgamma[c] = static_cast<float>(sum_dy_xhat);
        if (rows.dbeta != nullptr) rows.dbeta[c] = static_cast<float>(sums.dy);
        // dx = scale * (dy - sum_dy / M - xhat * sum_dy_xhat / M) with xhat = (x - mean - residual) * rstd.
        const double scale = rows.gamma != nullptr ? rstd * static_cast<double>(rows.gamma[c]) : rstd;
        const double slope = -scale * rstd * sum_dy_xhat / pixels;
        const auto row = [&](NormalisationGradientRow which) -> float& {
          return rows.gradient[which * walk.channels + c];
        };
        row(scale_row) = static_cast<float>(scale);
        row(slope_row) = static_cast<float>(slope);
        row(centre_row) = rows.mean[c];
        row(offset_row) = static_cast<float>(-scale * sums.dy / pixels - slope * residual);
      });
}

// --- launchers ------------------------------------------------------------------------------------------------------

std::size_t sums_shared_bytes(std::size_t width) {
  return shared_bytes<float>(3 * width * walk_threads) + shared_bytes<GradientSums>(walk_threads);
}

/// The workspace: counters, parts of sums, and per channel a residual (forward) or a gradient (backward).
struct Scratch {
  unsigned* counters;
  float* parts;
  float* rows;

  Scratch(const ChannelWalk& walk, std::span<std::byte> workspace)
      : counters(reinterpret_cast<unsigned*>(workspace.data())),
        parts(reinterpret_cast<float*>(workspace.data() + counter_bytes(walk.tiles))),
        rows(parts + part_floats(walk)) {}

  static std::size_t part_floats(const ChannelWalk& walk) {
    return 3 * static_cast<std::size_t>(walk.blocks) * static_cast<std::size_t>(walk.channels);
  }
  static std::size_t bytes(const ChannelWalk& walk) {
    return counter_bytes(walk.tiles) +
           (part_floats(walk) + normalisation_gradient_rows * static_cast<std::size_t>(walk.channels)) * sizeof(float);
  }
};

void normalise(const TensorView& x, const Affine& affine, const TensorView& y, void* stream) {
  with_storage(x.dtype, vectorisable({x, y}), [&]<typename T, int Width>() {
    const ChannelWalk walk(x.pixels(), x.channels(), Width);
    launch("batch_norm", normalise_kernel<T, Width>, {walk.grid(), walk_threads}, stream, walk, Pixels<const T>(x),
           affine, Pixels<T>(y));
  });
}

}  // namespace

std::size_t batch_norm_workspace(const Shape& x) {
  // Alignment, which a shape does not tell, decides the width. The statistics lie before the residual.
  const TensorView t(nullptr, x);
  const std::size_t rows = static_cast<std::size_t>(t.channels()) * sizeof(float);
  std::size_t bytes =
      std::max(Scratch::bytes(ChannelWalk(t.pixels(), t.channels(), 1)), batch_statistics_workspace(x) + rows);
  if (t.channels() % 4 == 0) bytes = std::max(bytes, Scratch::bytes(ChannelWalk(t.pixels(), t.channels(), 4)));
  return bytes;
}

void batch_norm_forward(const BatchNorm& bn, const TensorView& x, const TensorView& gamma, const TensorView& beta,
                        const TensorView& running_mean, const TensorView& running_var, const TensorView& y,
                        const TensorView& mean, const TensorView& rstd, std::span<std::byte> workspace, void* stream) {
  auto* const residual = reinterpret_cast<float*>(workspace.data() + batch_statistics_workspace(x.shape));
  const RunningStatistics running{running_mean, running_var};
  channel_statistics(bn, x, std::span(&running, running_mean ? 1 : 0), {mean.f32(), rstd.f32(), residual}, workspace,
                     stream);
  normalise(x, {mean.f32(), residual, rstd.f32(), nullptr, 0.0F, gamma.f32(), beta.f32()}, y, stream);
}

void batch_norm_inference(const BatchNorm& bn, const TensorView& x, const TensorView& gamma, const TensorView& beta,
                          const TensorView& running_mean, const TensorView& running_var, const TensorView& y,
                          void* stream) {
  normalise(x, {running_mean.f32(), nullptr, nullptr, running_var.f32(), bn.epsilon, gamma.f32(), beta.f32()}, y,
            stream);
}

void batch_norm_backward(const TensorView& x, const TensorView& gamma, const TensorView& mean, const TensorView& rstd,
                         const TensorView& dy, const TensorView& dx, Write write_dx, const TensorView& dgamma,
                         const TensorView& dbeta, std::span<std::byte> workspace, void* stream) {
  if (!dx && !dgamma && !dbeta) return;
  with_storage(x.dtype, vectorisable({x, dy}), [&]<typename T, int Width>() {
    const ChannelWalk walk(x.pixels(), x.channels(), Width);
    const Scratch scratch(walk, workspace);
    const BackwardRows rows{gamma.f32(), mean.f32(), rstd.f32(), dgamma.f32(), dbeta.f32(), scratch.rows};
    launch("batch_norm_backward", gradient_sums_kernel<T, Width>, {walk.grid(), walk_threads, sums_shared_bytes(Width)},
           stream, walk, Pixels<const T>(x), Pixels<const T>(dy), rows, scratch.parts, scratch.counters);
    if (!dx) return;
    const TensorView gradient(scratch.rows, {normalisation_gradient_rows, x.channels()});
    normalisation_backward(x, std::span(&dy, 1), std::span(&gradient, 1), dx, write_dx, stream);
  });
}

}  // namespace dnas::kernels::cuda
