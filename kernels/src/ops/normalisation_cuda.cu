#include "ops/normalisation_cuda.hpp"

#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/moments.cuh"
#include "core/shared_memory.cuh"
#include "ops/channel_walk.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr std::size_t max_running = 16;  // of one launch

// --- what the kernels are given -------------------------------------------------------------------------------------

struct StatisticsTarget {
  StatisticsRows rows;
  float epsilon;
  float momentum;
  int running_count;
  Running running[max_running];
};

/// Terms of normalisation_backward, by value: a kernel parameter needs no copy to the device.
struct GradientTerms {
  const void* g[max_normalisation_gradients];
  std::int64_t stride[max_normalisation_gradients];
  const float* gradient[max_normalisation_gradients];  // [4, C]
  int count;
};

// --- kernels --------------------------------------------------------------------------------------------------------

/// Part blockIdx.x of each channel, then, in the last block of its channels, their statistics. parts [blocks, C].
template <typename T, int Width>
__global__ void __launch_bounds__(walk_threads)
    statistics_kernel(const ChannelWalk walk, const Pixels<const T> x, ShiftedSums* parts, unsigned* counters,
                      const __grid_constant__ StatisticsTarget target) {
  SharedMemory memory;
  auto* const row_sums = memory.take<float>(2 * Width * walk_threads);
  auto* const scratch = memory.take<MomentSums>(walk_threads);
  const WalkThread<Width> mine(walk);
  Vec<Width> shift{};
  float sum[2 * Width] = {};  // of x - shift, and of its squares
  if (!mine.idle) shift = load<Width>(x.at(mine.begin, mine.channel));
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> value[n];
    mine.load_pixels(x, p, value);
#pragma unroll
    for (int i = 0; i < n; ++i) {
#pragma unroll
      for (int j = 0; j < Width; ++j) {
        const float above = value[i].lane[j] - shift.lane[j];
        sum[j] += above;
        sum[Width + j] = fmaf(above, above, sum[Width + j]);
      }
    }
  });
  sum_rows(sum, walk.lanes, row_sums);
  if (!mine.idle && mine.row == 0) {
    ShiftedSums* const part = parts + std::int64_t{blockIdx.x} * walk.channels + mine.channel;
    for (int j = 0; j < Width; ++j)
      part[j] = {shift.lane[j], sum[j], sum[Width + j]};
  }

  if (!arrives_last(counters + blockIdx.y, gridDim.x)) return;
  const int first = static_cast<int>(blockIdx.y) * walk.lanes * Width;
  const int channels = walk.channels - first < walk.lanes * Width ? walk.channels - first : walk.lanes * Width;
  const ShiftedSums* const of = parts + first;
  add_parts<walk_threads>(
      channels, static_cast<int>(gridDim.x), scratch,
      [&](int part, int channel) {
        const std::int64_t begin = std::int64_t{part} * walk.chunk;
        const std::int64_t pixels = walk.pixels - begin < walk.chunk ? walk.pixels - begin : walk.chunk;
        return about(static_cast<double>(of[channel].shift), of[std::int64_t{part} * walk.channels + channel], pixels);
      },
      [&](int channel, const MomentSums& sums) {
        const BatchMoments batch = batch_moments(static_cast<double>(of[channel].shift), sums);
        const StatisticsRows& to = target.rows;
        const auto mean = static_cast<float>(batch.mean);
        to.mean[first + channel] = mean;
        to.rstd[first + channel] = static_cast<float>(batch.rstd(target.epsilon));
        if (to.residual != nullptr) {
          to.residual[first + channel] = static_cast<float>(batch.mean - static_cast<double>(mean));
        }
        for (int i = 0; i < target.running_count; ++i)
          move_running(batch, target.momentum, target.running[i], first + channel);
      });
}

/// dx (+)= sum of scale * g + slope * (x - centre) + offset.
template <typename T, int Width>
__global__ void __launch_bounds__(walk_threads)
    backward_kernel(const ChannelWalk walk, const Pixels<const T> x, const __grid_constant__ GradientTerms terms,
                    const Pixels<T> dx, bool accumulate) {
  const WalkThread<Width> mine(walk);
  if (mine.idle) return;
  // What does not depend on g is a line for each term, and a sum of lines is one line. Means of one tensor are equal,
  // so the difference of centres is 0.
  Vec<Width> centre{};
  Vec<Width> slope{};
  Vec<Width> offset{};
  for (int j = 0; j < Width; ++j) {
    const auto row = [&](int term, NormalisationGradientRow which) {
      return static_cast<double>(terms.gradient[term][which * walk.channels + mine.channel + j]);
    };
    const double about = row(0, centre_row);
    double slopes = 0.0;
    double offsets = 0.0;
    for (int e = 0; e < terms.count; ++e) {
      slopes += row(e, slope_row);
      offsets += row(e, offset_row) + row(e, slope_row) * (about - row(e, centre_row));
    }
    centre.lane[j] = static_cast<float>(about);
    slope.lane[j] = static_cast<float>(slopes);
    offset.lane[j] = static_cast<float>(offsets);
  }
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> sum[n];
    mine.load_pixels(x, p, sum);
#pragma unroll
    for (int i = 0; i < n; ++i) {
#pragma unroll
      for (int j = 0; j < Width; ++j)
        sum[i].lane[j] = fmaf(slope.lane[j], sum[i].lane[j] - centre.lane[j], offset.lane[j]);
    }
    for (int e = 0; e < terms.count; ++e) {
      const T* const g = static_cast<const T*>(terms.g[e]) + mine.channel;
      const float* const scales = terms.gradient[e] + scale_row * walk.channels + mine.channel;
      Vec<Width> value[n];
#pragma unroll
      for (int i = 0; i < n; ++i)
        value[i] = load<Width>(g + (p + std::int64_t{i} * mine.rows) * terms.stride[e]);
#pragma unroll
      for (int j = 0; j < Width; ++j) {
        const float scale = scales[j];
#pragma unroll
        for (int i = 0; i < n; ++i)
          sum[i].lane[j] = fmaf(scale, value[i].lane[j], sum[i].lane[j]);
      }
    }
    // dx may be any of the tensors: this thread alone reads these elements, and has read them all.
#pragma unroll
    for (int i = 0; i < n; ++i) {
      T* const to = dx.at(p + std::int64_t{i} * mine.rows, mine.channel);
      if (accumulate) {
        const Vec<Width> before = load<Width>(to);
#pragma unroll
        for (int j = 0; j < Width; ++j)
          sum[i].lane[j] += before.lane[j];
      }
      store(to, sum[i]);
    }
  });
}

// --- launchers ------------------------------------------------------------------------------------------------------

std::size_t statistics_shared_bytes(std::size_t width) {
  return shared_bytes<float>(2 * width * walk_threads) + shared_bytes<MomentSums>(walk_threads);
}

std::size_t parts_bytes(const ChannelWalk& walk) {
  return counter_bytes(walk.tiles) +
         static_cast<std::size_t>(walk.blocks) * static_cast<std::size_t>(walk.channels) * sizeof(ShiftedSums);
}

template <typename T, int Width>
void launch_backward(const TensorView& x, const GradientTerms& terms, const TensorView& dx, Write write, void* stream) {
  const ChannelWalk walk(x.pixels(), x.channels(), Width);
  launch("normalisation_backward", backward_kernel<T, Width>, {walk.grid(), walk_threads}, stream, walk,
         Pixels<const T>(x), terms, Pixels<T>(dx), write == Write::accumulate);
}

}  // namespace

std::size_t batch_statistics_workspace(const Shape& x) {
  // Alignment, which a shape does not tell, decides the width.
  const TensorView t(nullptr, x);
  std::size_t bytes = parts_bytes(ChannelWalk(t.pixels(), t.channels(), 1));
  if (t.channels() % 4 == 0) bytes = std::max(bytes, parts_bytes(ChannelWalk(t.pixels(), t.channels(), 4)));
  return bytes;
}

void channel_statistics(const BatchNorm& bn, const TensorView& x, std::span<const RunningStatistics> running,
                        const StatisticsRows& to, std::span<std::byte> workspace, void* stream) {
  with_storage(x.dtype, vectorisable(x), [&]<typename T, int Width>() {
    const ChannelWalk walk(x.pixels(), x.channels(), Width);
    auto* const counters = reinterpret_cast<unsigned*>(workspace.data());
    auto* const parts = reinterpret_cast<ShiftedSums*>(workspace.data() + counter_bytes(walk.tiles));
    do {
      StatisticsTarget target{to, bn.epsilon, bn.momentum, 0, {}};
      for (const RunningStatistics& r : running.first(std::min(running.size(), max_running)))
        target.running[target.running_count++] = {r.mean.f32(), r.var.f32()};
      running = running.subspan(static_cast<std::size_t>(target.running_count));
      launch("batch_statistics", statistics_kernel<T, Width>,
             {walk.grid(), walk_threads, statistics_shared_bytes(Width)}, stream, walk, Pixels<const T>(x), parts,
             counters, target);
    } while (!running.empty());
  });
}

void batch_statistics(const BatchNorm& bn, const TensorView& x, std::span<const RunningStatistics> running,
                      const TensorView& normalisation, std::span<std::byte> workspace, void* stream) {
  float* const rows = normalisation.f32();
  const std::int64_t channels = x.channels();
  channel_statistics(bn, x, running, {rows + mean_row * channels, rows + rstd_row * channels, nullptr}, workspace,
                     stream);
}

void normalisation_backward(const TensorView& x, std::span<const TensorView> g, std::span<const TensorView> gradients,
                            const TensorView& dx, Write write, void* stream) {
  if (x.elements() == 0) return;
  GradientTerms terms{};
  bool vectorised = vectorisable({x, dx});
  for (std::size_t e = 0; e < g.size(); ++e) {
    terms.g[e] = g[e].data;
    terms.stride[e] = g[e].pixel_stride;
    terms.gradient[e] = gradients[e].f32();
    vectorised = vectorised && vectorisable(g[e]);
  }
  terms.count = static_cast<int>(g.size());
  with_storage(x.dtype, vectorised,
               [&]<typename T, int Width>() { launch_backward<T, Width>(x, terms, dx, write, stream); });
}

}  // namespace dnas::kernels::cuda
