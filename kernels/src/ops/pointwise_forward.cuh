#pragma once

#include "core/last_block.cuh"
#include "core/moments.cuh"
#include "core/shared_memory.cuh"
#include "ops/pointwise_tile.cuh"

// y = activated(x) W^T and the statistics of y, for pointwise_conv_cuda.cu.
namespace dnas::kernels::cuda::pointwise {

/// Walks over `depth` channels at a time of a tile of pixels and of the weights: fetch() loads into registers what
/// put() stores in shared memory later, so that loads are under way during the product.
template <Product P, int Columns>
struct ForwardLoader {
  using T = Operand<P>;
  static constexpr int vector = elements16<T>;
  static constexpr int vectors = depth / vector;
  static constexpr int pixels_per_turn = threads / vectors;
  static constexpr int turns = tile_pixels / pixels_per_turn;
  static constexpr int pitch = operand_pitch<P>(depth);
  static constexpr int weights = Columns * depth / threads;

  const T* pixel[turns];
  float value[turns][vector];
  float weight[weights];

  __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % vectors * vector; }
  __device__ __forceinline__ static int row(int turn) {
    return static_cast<int>(threadIdx.x) / vectors + turn * pixels_per_turn;
  }

  __device__ __forceinline__ void to_tile(const Geometry& geometry, const Half& half, const Source<T>& source,
                                          std::int64_t first) {
#pragma unroll
    for (int t = 0; t < turns; ++t) {
      const std::int64_t p = source_pixel(geometry, half, first + row(t));
      pixel[t] = p < 0 ? nullptr : source.x + p * source.stride;
    }
  }

  __device__ __forceinline__ void fetch(const Geometry& geometry, const Half& half, const Source<T>& source,
                                        int first_column, int k) {
#pragma unroll
    for (int t = 0; t < turns; ++t)
      load_channels(pixel[t], k + column(), pixel[t] == nullptr ? 0 : geometry.in, source.vectorised, value[t]);
#pragma unroll
    for (int i = 0; i < weights; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * threads;
      const int out = first_column + at / depth;
      const int in = k + at % depth;
      weight[i] = out < half.channels && in < geometry.in ? half.w[out * geometry.in + in] : 0.0F;
    }
  }

  __device__ __forceinline__ void put(const float* rows, int rows_pitch, bool relu, int k, T* a, T* b) {
#pragma unroll
    for (int t = 0; t < turns; ++t) {
      if (pixel[t] != nullptr) activate(value[t], rows == nullptr ? nullptr : rows + k + column(), rows_pitch, relu);
      store16(a + row(t) * pitch + column(), value[t]);
    }
#pragma unroll
    for (int i = 0; i < weights; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * threads;
      store_operand(b + at / depth * pitch + at % depth, weight[i]);
    }
  }
};

/// Tiles blockIdx.x * tiles_per_block ... of y, of the channels of tile blockIdx.y; then, in the last block of these
/// channels, their statistics.
template <Product P, int Columns>
__global__ void __launch_bounds__(threads, resident_blocks(Columns))
    forward_kernel(const __grid_constant__ Geometry geometry, const Source<Operand<P>> source, Operand<P>* y,
                   std::int64_t y_stride, bool pairs, int tiles_per_block, const Statistics statistics) {
  using T = Operand<P>;
  using Loader = ForwardLoader<P, Columns>;
  constexpr int tiles = Columns / 16;  // accumulators of a warp
  constexpr int pitch = Loader::pitch;
  const int steps = (geometry.in + depth - 1) / depth;
  const int padded = steps * depth;
  SharedMemory memory;
  T* const a = memory.take<T>(2 * tile_pixels * pitch);
  T* const b = memory.take<T>(2 * Columns * pitch);
  auto* const shifts = memory.take<float>(Columns);
  auto* const warp_sums = memory.take<float>(2 * warp_rows * Columns);
  auto* const scratch = memory.take<MomentSums>(threads);
  float* const rows = source.normalisation != nullptr ? memory.take<float>(2 * padded) : nullptr;

  const int half_tiles = static_cast<int>(gridDim.y) / geometry.halves;
  const Half& half = geometry.half[static_cast<int>(blockIdx.y) / half_tiles];
  const int first_column = static_cast<int>(blockIdx.y) % half_tiles * Columns;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_row = warp % warp_rows;
  const int warp_column = warp / warp_rows * (Columns / 2);
  const int my_row = warp_row * 16 + lane / 4;       // and 8 further
  const int my_column = warp_column + lane % 4 * 2;  // and the next, and 8 further ...
  const std::int64_t block_pixels = std::int64_t{tiles_per_block} * tile_pixels;
  const std::int64_t first_pixel = std::int64_t{blockIdx.x} * block_pixels;
  const std::int64_t left = geometry.pixels - first_pixel;
  const int my_tiles = left < block_pixels ? static_cast<int>((left + tile_pixels - 1) / tile_pixels) : tiles_per_block;

  if (rows != nullptr) {
    load_normalisation(source.normalisation, 0, padded, geometry.in, rows);
    __syncthreads();
  }
  const bool wanted = statistics.normalisation != nullptr;
  float sum[tiles][2] = {};
  float square[tiles][2] = {};
  float d[tiles][4] = {};
  Loader loader;
  loader.to_tile(geometry, half, source, first_pixel);
  loader.fetch(geometry, half, source, first_column, 0);
  loader.put(rows, padded, source.relu, 0, a, b);
  int step = 0;
  int tile = 0;
  for (int turn = 0; turn < my_tiles * steps; ++turn) {
    __syncthreads();  // this turn's operands are there, those of the turn before are free
    const bool more = turn + 1 < my_tiles * steps;
    const bool tile_ends = step + 1 == steps;
    const int next_step = tile_ends ? 0 : step + 1;
    if (more) {
      if (tile_ends) {
        loader.to_tile(geometry, half, source, first_pixel + std::int64_t{tile + 1} * tile_pixels);
      }
      loader.fetch(geometry, half, source, first_column, next_step * depth);
    }
    multiply_rows<P, depth, tiles>(d, a + (turn % 2 * tile_pixels + warp_row * 16) * pitch, pitch,
                                   b + (turn % 2 * Columns + warp_column) * pitch, pitch);
    if (tile_ends) {
      if (wanted && tile == 0) {
        // The block's first pixel is what its sums are about.
        if (my_row == 0) {
#pragma unroll
          for (int j = 0; j < tiles; ++j) {
            shifts[my_column + 8 * j] = as_stored(d[j][0], y);
            shifts[my_column + 8 * j + 1] = as_stored(d[j][1], y);
          }
        }
        __syncthreads();
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const std::int64_t p = first_pixel + tile * tile_pixels + my_row + 8 * i;
        if (p < geometry.pixels) {
          T* const to = y + p * y_stride + half.first + first_column;
#pragma unroll
          for (int j = 0; j < tiles; ++j) {
            const int c = my_column + 8 * j;
            if (pairs && first_column + c < half.channels) {
              store(to + c, Vec<2>{{d[j][2 * i], d[j][2 * i + 1]}});
            } else {
              for (int e = 0; e < 2; ++e) {
                if (first_column + c + e < half.channels) store(to + c + e, Vec<1>{{d[j][2 * i + e]}});
              }
            }
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const float above = as_stored(d[j][2 * i + e], y) - (wanted ? shifts[c + e] : 0.0F);
              sum[j][e] += above;
              square[j][e] = fmaf(above, above, square[j][e]);
            }
          }
        }
      }
#pragma unroll
      for (int j = 0; j < tiles; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          d[j][e] = 0.0F;
      }
      ++tile;
    }
    step = next_step;
    if (more) {
      loader.put(rows, padded, source.relu, step * depth, a + (turn + 1) % 2 * tile_pixels * pitch,
                 b + (turn + 1) % 2 * Columns * pitch);
    }
  }
  if (!wanted) return;

#pragma unroll
  for (int j = 0; j < tiles; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      for (int other = 4; other < 32; other *= 2) {
        sum[j][e] += __shfl_xor_sync(0xFFFFFFFFU, sum[j][e], other);
        square[j][e] += __shfl_xor_sync(0xFFFFFFFFU, square[j][e], other);
      }
      if (lane < 4) {
        warp_sums[warp_row * Columns + my_column + 8 * j + e] = sum[j][e];
        warp_sums[(warp_rows + warp_row) * Columns + my_column + 8 * j + e] = square[j][e];
      }
    }
  }
  __syncthreads();
  const int columns = half.channels - first_column < Columns ? half.channels - first_column : Columns;
  const int all = geometry.half[geometry.halves - 1].first + geometry.half[geometry.halves - 1].channels;
  ShiftedSums* const parts = statistics.parts + half.first + first_column;
  if (static_cast<int>(threadIdx.x) < columns) {
    const auto c = static_cast<int>(threadIdx.x);
    ShiftedSums part{shifts[c], 0.0F, 0.0F};
    for (int r = 0; r < warp_rows; ++r) {
      part.sum += warp_sums[r * Columns + c];
      part.square += warp_sums[(warp_rows + r) * Columns + c];
    }
    parts[std::int64_t{blockIdx.x} * all + c] = part;
  }
  if (!arrives_last(statistics.counters + blockIdx.y, gridDim.x)) return;
  add_parts<threads>(
      columns, static_cast<int>(gridDim.x), scratch,
      [&](int part, int c) {
        const std::int64_t rest = geometry.pixels - part * block_pixels;
        return about(static_cast<double>(parts[c].shift), parts[std::int64_t{part} * all + c],
                     rest < block_pixels ? rest : block_pixels);
      },
      [&](int c, const MomentSums& sums) {
        const BatchMoments batch = batch_moments(static_cast<double>(parts[c].shift), sums);
        const int channel = half.first + first_column + c;
        write_normalisation(batch, statistics.epsilon, statistics.normalisation, all, channel);
        move_running(batch, statistics.momentum, statistics.running, channel);
      });
}

}  // namespace dnas::kernels::cuda::pointwise
