#include "ops/pointwise_conv_cuda.hpp"

#include "core/add_blocks.cuh"
#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/moments.cuh"
#include "core/shared_memory.cuh"
#include "core/vec.cuh"
#include "core/warp_product.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr int tile_pixels = 64;
constexpr int depth = 32;                    // input channels that are in shared memory at a time, forward
constexpr int max_columns = 64;              // channels of a tile of the product
constexpr int multiprocessors = 132;         // of an H100
constexpr int warp_rows = tile_pixels / 16;  // warps side by side cover the columns: 8 warps, 4 x 2

/// Blocks that a multiprocessor has registers for, with tiles of so many columns.
constexpr int resident_blocks(int columns) {
  return columns == 16 ? 3 : 2;
}

// --- what the kernels are given -------------------------------------------------------------------------------------

/// One convolution of up to two that read the same tensor.
struct Half {
  const float* w;  // [channels, in]
  float* dw;
  int offset;
  int first;  // channel of the output
  int channels;
};

/// Pixels of the output, and where they come from.
struct Geometry {
  std::int64_t pixels;  // of the output
  int height, width;    // of the input
  int out_height, out_width;
  int stride;
  int row_span;  // input rows that the pixels of an output row answer for, of one half
  int in;        // channels
  Half half[2];
  int halves;
};

template <typename T>
struct Source {
  const T* x;
  std::int64_t stride;
  const float* normalisation;  // [2, in] or null
  bool relu;
  bool vectorised;
};

struct Statistics {
  float* normalisation;  // null: not wanted
  Running running;
  float epsilon;
  float momentum;
  ShiftedSums* parts;  // [blocks, out]
  unsigned* counters;  // one for each tile of channels
};

template <typename T>
struct Gradient {
  const T* g;
  std::int64_t g_stride;
  const T* y;
  std::int64_t y_stride;
  const float* rows;  // [4, out] or null
  bool vectorised;
};

// --- device helpers -------------------------------------------------------------------------------------------------

/// Output pixel m.
struct Position {
  std::int64_t image;
  int row, column;

  __device__ __forceinline__ Position(const Geometry& geometry, std::int64_t m) {
    const std::int64_t line = m / geometry.out_width;
    column = static_cast<int>(m - line * geometry.out_width);
    image = line / geometry.out_height;
    row = static_cast<int>(line - image * geometry.out_height);
  }
  [[nodiscard]] __device__ __forceinline__ std::int64_t pixel(const Geometry& geometry, int y, int x) const {
    return (image * geometry.height + y) * geometry.width + x;
  }
};

/// The input pixel that output pixel m reads; -1 if there is none.
__device__ __forceinline__ std::int64_t source_pixel(const Geometry& geometry, const Half& half, std::int64_t m) {
  if (m >= geometry.pixels) return -1;
  if (geometry.stride == 1 && half.offset == 0) return m;
  const Position at(geometry, m);
  const int row = at.row * geometry.stride + half.offset;
  const int column = at.column * geometry.stride + half.offset;
  return row < geometry.height && column < geometry.width ? at.pixel(geometry, row, column) : -1;
}

/// 16 bytes of elements of one pixel as f32; those of channels at or beyond `end` are 0.
template <typename T>
__device__ __forceinline__ void load_channels(const T* pixel, int channel, int end, bool vectorised,
                                              float (&value)[elements16<T>]) {
  if (vectorised && channel < end) {
    load16(pixel + channel, value);
  } else {
#pragma unroll
    for (int i = 0; i < elements16<T>; ++i)
      value[i] = channel + i < end ? load<1>(pixel + channel + i).lane[0] : 0.0F;
  }
}

/// (value - mean) * rstd, then the larger of it and 0. rows: mean and rstd in shared memory, `pitch` apart.
template <int Count>
__device__ __forceinline__ void activate(float (&value)[Count], const float* rows, int pitch, bool relu) {
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    if (rows != nullptr) value[i] = (value[i] - rows[i]) * rows[pitch + i];
    if (relu) value[i] = value[i] < 0.0F ? 0.0F : value[i];  // NaN stays
  }
}

/// Rows mean and rstd of channels first to first + count; 0 beyond `channels`.
__device__ __forceinline__ void load_normalisation(const float* normalisation, int first, int count, int channels,
                                                   float* rows) {
  for (int i = static_cast<int>(threadIdx.x); i < 2 * count; i += threads) {
    const int channel = first + i % count;
    rows[i] = channel < channels ? normalisation[i / count * channels + channel] : 0.0F;
  }
}

// --- forward --------------------------------------------------------------------------------------------------------

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

// --- backward -------------------------------------------------------------------------------------------------------

/// A tile of dy, [tile_pixels, operand_pitch<P>(Columns)], channels first_out to first_out + Columns of a half. rows
/// [4, Columns] in shared memory.
template <Product P, int Columns>
__device__ __forceinline__ void load_dy(const Geometry& geometry, const Half& half,
                                        const Gradient<Operand<P>>& gradient, const float* rows,
                                        std::int64_t first_pixel, int first_out, Operand<P>* dy) {
  using T = Operand<P>;
  constexpr int vector = elements16<T>;
  constexpr int vectors = Columns / vector;
  constexpr int total = tile_pixels * vectors;
#pragma unroll 2  // more would not fit the registers
  for (int i = 0; i < (total + threads - 1) / threads; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * threads;
    if (total % threads != 0 && at >= total) break;
    const int column = at % vectors * vector;
    const int row = at / vectors;
    const std::int64_t p = first_pixel + row;
    const int end = p < geometry.pixels ? half.channels : 0;
    float value[vector];
    load_channels(gradient.g + p * gradient.g_stride + half.first, first_out + column, end, gradient.vectorised, value);
    if (gradient.rows != nullptr) {
      float y[vector];
      load_channels(gradient.y + p * gradient.y_stride + half.first, first_out + column, end, gradient.vectorised, y);
#pragma unroll
      for (int j = 0; j < vector; ++j) {
        const float* const of = rows + column + j;
        const float line = fmaf(of[slope_row * Columns], y[j] - of[centre_row * Columns], of[offset_row * Columns]);
        value[j] = first_out + column + j < end ? fmaf(of[scale_row * Columns], value[j], line) : 0.0F;
      }
    }
    store16(dy + row * operand_pitch<P>(Columns) + column, value);
  }
}

/// A tile of activated inputs, [tile_pixels, operand_pitch<P>(max_columns)], of channels first_in to first_in +
/// max_columns. rows: mean and rstd of these in shared memory, or null.
template <Product P>
__device__ __forceinline__ void load_inputs(const Geometry& geometry, const Half& half,
                                            const Source<Operand<P>>& source, const float* rows,
                                            std::int64_t first_pixel, int first_in, Operand<P>* x) {
  using T = Operand<P>;
  constexpr int vector = elements16<T>;
  constexpr int vectors = max_columns / vector;
#pragma unroll 2
  for (int i = 0; i < tile_pixels * vectors / threads; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * threads;
    const int column = at % vectors * vector;
    const int row = at / vectors;
    const std::int64_t p = source_pixel(geometry, half, first_pixel + row);
    float value[vector];
    load_channels(source.x + (p < 0 ? 0 : p) * source.stride, first_in + column, p < 0 ? 0 : geometry.in,
                  source.vectorised, value);
    if (p >= 0) activate(value, rows == nullptr ? nullptr : rows + column, max_columns, source.relu);
    store16(x + row * operand_pitch<P>(max_columns) + column, value);
  }
}

/// Writes two channels of dx, of those that exist.
template <typename T>
__device__ __forceinline__ void put_pair(T* to, int channel, int channels, bool pairs, float first, float second,
                                         bool accumulate) {
  if (pairs) {
    if (channel >= channels) return;
    Vec<2> value{{first, second}};
    if (accumulate) {
      const Vec<2> before = load<2>(to + channel);
      value.lane[0] += before.lane[0];
      value.lane[1] += before.lane[1];
    }
    store(to + channel, value);
    return;
  }
  const float values[2] = {first, second};
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (channel + e < channels) {
      const float before = accumulate ? load<1>(to + channel + e).lane[0] : 0.0F;
      store(to + channel + e, Vec<1>{{before + values[e]}});
    }
  }
}

/// Tiles of pixels blockIdx.x * tiles_per_block ...; input channels of tile blockIdx.y (of one half). `out_tiles` > 0:
/// dx is wanted and sums over so many tiles of output channels. `parts` not null: dw is wanted, of output channels of
/// tile blockIdx.z; parts [gridDim.y, gridDim.z, gridDim.x, Columns * max_columns].
template <Product P, int Columns>
__global__ void __launch_bounds__(threads, P == Product::bf16 ? 2 : resident_blocks(Columns))
    backward_kernel(const __grid_constant__ Geometry geometry, const Source<Operand<P>> source,
                    const Gradient<Operand<P>> gradient, Operand<P>* dx, std::int64_t dx_stride, bool dx_pairs,
                    bool dx_accumulate, int out_tiles, bool dw_accumulate, int tiles_per_block, float* parts,
                    unsigned* counters) {
  using T = Operand<P>;
  constexpr int dy_pitch = operand_pitch<P>(Columns);
  constexpr int x_pitch = operand_pitch<P>(max_columns);
  constexpr int dx_tiles = max_columns / 16;
  constexpr int dw_warp_rows = Columns / 16;
  constexpr int dw_columns = max_columns * dw_warp_rows / 8;  // of a warp
  constexpr int dw_tiles = dw_columns / 8;
  SharedMemory memory;
  T* const dy = memory.take<T>(tile_pixels * dy_pitch);
  T* const x = memory.take<T>(tile_pixels * x_pitch);
  T* const w = memory.take<T>(max_columns * dy_pitch);  // transposed: [in, out]
  auto* const gradient_rows = memory.take<float>(4 * Columns);
  float* const rows = source.normalisation != nullptr ? memory.take<float>(2 * max_columns) : nullptr;

  const int half_tiles = static_cast<int>(gridDim.y) / geometry.halves;
  const Half& half = geometry.half[static_cast<int>(blockIdx.y) / half_tiles];
  const int first_in = static_cast<int>(blockIdx.y) % half_tiles * max_columns;
  const int all = geometry.half[geometry.halves - 1].first + geometry.half[geometry.halves - 1].channels;
  const bool want_dx = out_tiles > 0;
  const bool want_dw = parts != nullptr;
  const int out_begin = static_cast<int>(blockIdx.z);
  const int out_end = want_dx ? out_tiles : out_begin + 1;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int dx_row = warp % warp_rows * 16;
  const int dx_column = warp / warp_rows * (max_columns / 2);
  const int dw_row = warp % dw_warp_rows * 16;
  const int dw_column = warp / dw_warp_rows * dw_columns;

  if (rows != nullptr) load_normalisation(source.normalisation, first_in, max_columns, geometry.in, rows);
  float dw_sum[dw_tiles][4] = {};
  for (int tile = 0; tile < tiles_per_block; ++tile) {
    const std::int64_t first_pixel = (std::int64_t{blockIdx.x} * tiles_per_block + tile) * tile_pixels;
    if (first_pixel >= geometry.pixels) break;
    float dx_sum[dx_tiles][4] = {};
    for (int out = out_begin; out < out_end; ++out) {
      const int first_out = out * Columns;
      __syncthreads();  // the operands of the turn before are free
      if (tile == 0 || out_end - out_begin > 1) {
        if (gradient.rows != nullptr) {
          for (int i = static_cast<int>(threadIdx.x); i < 4 * Columns; i += threads) {
            const int c = first_out + i % Columns;
            gradient_rows[i] = c < half.channels ? gradient.rows[i / Columns * all + half.first + c] : 0.0F;
          }
        }
        if (want_dx) {
          for (int i = static_cast<int>(threadIdx.x); i < Columns * max_columns; i += threads) {
            const int c_out = first_out + i / max_columns;
            const int c_in = first_in + i % max_columns;
            const bool exists = c_out < half.channels && c_in < geometry.in;
            store_operand(w + i % max_columns * dy_pitch + i / max_columns,
                          exists ? half.w[c_out * geometry.in + c_in] : 0.0F);
          }
        }
        __syncthreads();
      }
      load_dy<P, Columns>(geometry, half, gradient, gradient_rows, first_pixel, first_out, dy);
      if (out == out_begin && (want_dw || source.relu)) {
        load_inputs<P>(geometry, half, source, rows, first_pixel, first_in, x);
      }
      __syncthreads();
      if (want_dx) {
        multiply_rows<P, Columns, dx_tiles>(dx_sum, dy + dx_row * dy_pitch, dy_pitch, w + dx_column * dy_pitch,
                                            dy_pitch);
      }
      if (want_dw) {
        multiply_columns<P, tile_pixels, dw_tiles>(dw_sum, dy + dw_row, dy_pitch, x + dw_column, x_pitch);
      }
    }
    if (want_dx) {
#pragma unroll 1
      for (int i = 0; i < 2; ++i) {
        const int row = dx_row + lane / 4 + 8 * i;
        const std::int64_t m = first_pixel + row;
        if (m >= geometry.pixels) continue;
        // Of the input pixels from this one's to the next one's, the others are read by nobody.
        const Position at(geometry, m);
        const int stride = geometry.stride;
        const int y0 = at.row * stride + half.offset;
        const int x0 = at.column * stride + half.offset;
        const bool single = geometry.halves == 1;
        const int y_begin = single && at.row == 0 ? 0 : y0;
        const int y_end = single && at.row + 1 == geometry.out_height ? geometry.height
                                                                      : min(y0 + geometry.row_span, geometry.height);
        const int x_begin = at.column == 0 ? 0 : x0;
        const int x_end = at.column + 1 == geometry.out_width ? geometry.width : min(x0 + stride, geometry.width);
        for (int yy = dx_accumulate ? y0 : y_begin; yy < (dx_accumulate ? min(y0 + 1, y_end) : y_end); ++yy) {
          for (int xx = dx_accumulate ? x0 : x_begin; xx < (dx_accumulate ? min(x0 + 1, x_end) : x_end); ++xx) {
            const bool read = yy == y0 && xx == x0;
            T* const to = dx + at.pixel(geometry, yy, xx) * dx_stride + first_in;
#pragma unroll
            for (int j = 0; j < dx_tiles; ++j) {
              const int c = dx_column + 8 * j + lane % 4 * 2;
              float value[2] = {i == 0 ? dx_sum[j][0] : dx_sum[j][2], i == 0 ? dx_sum[j][1] : dx_sum[j][3]};
#pragma unroll
              for (int e = 0; e < 2; ++e) {
                // Compared as f32: a positive bfloat16 is a positive f32.
                const bool passes = !source.relu || load<1>(x + row * x_pitch + c + e).lane[0] > 0.0F;
                if (!read || !passes) value[e] = 0.0F;
              }
              put_pair(to, c, geometry.in - first_in, dx_pairs, value[0], value[1], dx_accumulate);
            }
          }
        }
      }
    }
  }
  if (!want_dw) return;

  constexpr int elements = Columns * max_columns;
  const auto group = static_cast<std::int64_t>(blockIdx.y) * gridDim.z + blockIdx.z;
  float* const arrays = parts + group * gridDim.x * elements;
  float* const mine = arrays + std::int64_t{blockIdx.x} * elements;
#pragma unroll
  for (int j = 0; j < dw_tiles; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      store(mine + (dw_row + lane / 4 + 8 * i) * max_columns + dw_column + 8 * j + lane % 4 * 2,
            Vec<2>{{dw_sum[j][2 * i], dw_sum[j][2 * i + 1]}});
    }
  }
  const auto blocks = static_cast<int>(gridDim.x);
  add_blocks<threads>(arrays, elements, static_cast<int>(blockIdx.x), blocks, counters + group * add_counters(blocks),
                      [&](int i, const Vec<4>& sum) {
                        const int out = out_begin * Columns + i / max_columns;
                        for (int j = 0; j < 4; ++j) {
                          const int in = first_in + i % max_columns + j;
                          if (out < half.channels && in < geometry.in) {
                            float& to = half.dw[out * geometry.in + in];
                            to = dw_accumulate ? to + sum.lane[j] : sum.lane[j];
                          }
                        }
                      });
}

// --- launchers ------------------------------------------------------------------------------------------------------

int ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

/// Columns of a tile of the product for so many channels: 16, 32 or 64.
int columns_for(std::int64_t channels) {
  return channels <= 16 ? 16 : channels <= 32 ? 32 : max_columns;
}

/// As many blocks as the device holds at a time, so that few partial results are left to add.
PointwiseTiling tiling(std::int64_t pixels, int columns, int channel_tiles, int output_tiles) {
  const int tiles = ceil_div(pixels, tile_pixels);
  const int wanted = std::max(1, resident_blocks(columns) * multiprocessors / (channel_tiles * output_tiles));
  const int per_block = ceil_div(tiles, wanted);
  return {channel_tiles, output_tiles, per_block, ceil_div(tiles, per_block), 0};
}

template <Product P>
std::size_t forward_shared_bytes(std::size_t columns, std::size_t in, bool normalised) {
  using T = Operand<P>;
  constexpr std::size_t pitch = operand_pitch<P>(depth);
  return shared_bytes<T>(2 * tile_pixels * pitch) + shared_bytes<T>(2 * columns * pitch) +
         shared_bytes<float>(columns) + shared_bytes<float>(2 * warp_rows * columns) +
         shared_bytes<MomentSums>(threads) +
         (normalised ? shared_bytes<float>(2 * ((in + depth - 1) / depth * depth)) : 0);
}

template <Product P>
std::size_t backward_shared_bytes(int columns, bool normalised) {
  using T = Operand<P>;
  const auto dy_pitch = static_cast<std::size_t>(operand_pitch<P>(columns));
  constexpr std::size_t x_pitch = operand_pitch<P>(max_columns);
  return shared_bytes<T>(tile_pixels * dy_pitch) + shared_bytes<T>(tile_pixels * x_pitch) +
         shared_bytes<T>(max_columns * dy_pitch) + shared_bytes<float>(4 * static_cast<std::size_t>(columns)) +
         (normalised ? shared_bytes<float>(2 * max_columns) : 0);
}

Geometry geometry_of(const Shape& x, const Shape& y, int stride) {
  Geometry geometry{};
  geometry.pixels = y[0] * y[1] * y[2];
  geometry.height = static_cast<int>(x[1]);
  geometry.width = static_cast<int>(x[2]);
  geometry.out_height = static_cast<int>(y[1]);
  geometry.out_width = static_cast<int>(y[2]);
  geometry.stride = stride;
  geometry.in = static_cast<int>(x[3]);
  return geometry;
}

Geometry single(const PointwiseConv& conv, const Shape& x, const Shape& y, const float* w, float* dw) {
  Geometry geometry = geometry_of(x, y, conv.stride);
  geometry.row_span = conv.stride;
  geometry.half[0] = {w, dw, conv.offset, 0, static_cast<int>(y[3])};
  geometry.halves = 1;
  return geometry;
}

Geometry factorised(const Shape& x, const Shape& y, const std::array<TensorView, 2>& w,
                    const std::array<TensorView, 2>& dw) {
  Geometry geometry = geometry_of(x, y, 2);
  geometry.row_span = 1;  // even rows are the first half's, odd rows the second's
  const auto channels = static_cast<int>(y[3] / 2);
  for (int h = 0; h < 2; ++h) {
    const auto i = static_cast<std::size_t>(h);
    geometry.half[h] = {w[i].f32(), dw[i].f32(), h, h * channels, channels};
  }
  geometry.halves = 2;
  return geometry;
}

/// Whether 16 bytes at a time may be read at every multiple of 16 bytes of channels.
template <typename T>
bool vectorised16(const TensorView& t) {
  return aligned16(t.data) && t.pixel_stride % elements16<T> == 0 && t.channels() % elements16<T> == 0;
}
bool paired(const TensorView& t) {
  return reinterpret_cast<std::uintptr_t>(t.data) % (2 * size_of(t.dtype)) == 0 && t.pixel_stride % 2 == 0;
}

template <Product P>
Source<Operand<P>> source_of(const PointwiseInput& input) {
  using T = Operand<P>;
  const TensorView& x = input.source.x;
  return {static_cast<const T*>(x.data), x.pixel_stride, input.source.normalisation.f32(), input.relu,
          vectorised16<T>(x)};
}

/// Calls submit.template operator()<P, Columns>().
template <typename Submit>
void with_product(Product product, int columns, Submit&& submit) {
  const auto with_columns = [&]<Product P>() {
    switch (columns) {
      case 16:
        return submit.template operator()<P, 16>();
      case 32:
        return submit.template operator()<P, 32>();
      default:
        return submit.template operator()<P, 64>();
    }
  };
  switch (product) {
    case Product::tf32x3:
      return with_columns.template operator()<Product::tf32x3>();
    case Product::tf32:
      return with_columns.template operator()<Product::tf32>();
    case Product::bf16:
      return with_columns.template operator()<Product::bf16>();
  }
}

void forward(const char* operation, const BatchNorm& bn, const Geometry& geometry, const PointwiseInput& input,
             const TensorView& y, const PointwiseStatistics& statistics, Product product,
             std::span<std::byte> workspace, void* stream) {
  const int channels = geometry.half[0].channels;
  const PointwiseTiling plan = pointwise_forward_tiling(geometry.pixels, y.channels(), geometry.halves);
  Statistics target{};
  if (statistics.normalisation) {
    const std::size_t counters = counter_bytes(static_cast<std::size_t>(plan.counters));
    target = {statistics.normalisation.f32(),
              {statistics.running.mean.f32(), statistics.running.var.f32()},
              bn.epsilon,
              bn.momentum,
              reinterpret_cast<ShiftedSums*>(workspace.data() + counters),
              reinterpret_cast<unsigned*>(workspace.data())};
  }
  with_product(product, columns_for(channels), [&]<Product P, int Columns>() {
    const bool pairs = paired(y) && channels % 2 == 0;
    launch(operation, forward_kernel<P, Columns>,
           {dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.channel_tiles)), threads,
            forward_shared_bytes<P>(Columns, static_cast<std::size_t>(geometry.in),
                                    static_cast<bool>(input.source.normalisation))},
           stream, geometry, source_of<P>(input), static_cast<Operand<P>*>(y.data), y.pixel_stride, pairs,
           plan.tiles_per_block, target);
  });
}

void backward(const char* operation, const Geometry& geometry, const PointwiseInput& input,
              const PointwiseOutputGradient& output, const PointwiseInputGradient& to, bool want_dw, Write write_dw,
              Product product, std::span<std::byte> workspace, void* stream) {
  const int channels = geometry.half[0].channels;
  const int columns = columns_for(channels);
  const int out_tiles = ceil_div(channels, columns);
  with_product(product, columns, [&]<Product P, int Columns>() {
    using T = Operand<P>;
    const bool first_halves_aligned = channels % elements16<T> == 0;  // where the second half begins
    const Gradient<T> gradient{
        static_cast<const T*>(output.g.data),
        output.g.pixel_stride,
        static_cast<const T*>(output.y.data),
        output.y.pixel_stride,
        output.gradient.f32(),
        vectorised16<T>(output.g) && first_halves_aligned && (!output.gradient || vectorised16<T>(output.y))};
    // dx: null, or summed over all tiles of output channels.
    const auto submit = [&](const PointwiseTiling& plan, const TensorView& dx, bool dw) {
      float* parts = nullptr;
      unsigned* counters = nullptr;
      if (dw) {
        counters = reinterpret_cast<unsigned*>(workspace.data());
        parts = reinterpret_cast<float*>(workspace.data() + counter_bytes(static_cast<std::size_t>(plan.counters)));
      }
      launch(operation, backward_kernel<P, Columns>,
             {dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.channel_tiles),
                   static_cast<unsigned>(plan.output_tiles)),
              threads, backward_shared_bytes<P>(Columns, static_cast<bool>(input.source.normalisation))},
             stream, geometry, source_of<P>(input), gradient, static_cast<T*>(dx.data), dx.pixel_stride,
             paired(dx) && geometry.in % 2 == 0, to.write == Write::accumulate, dx ? out_tiles : 0,
             write_dw == Write::accumulate, plan.tiles_per_block, parts, counters);
    };
    PointwiseTiling plan =
        pointwise_backward_tiling(geometry.pixels, geometry.in, channels * geometry.halves, geometry.halves);
    if (plan.output_tiles == 1) {
      submit(plan, to.dx, want_dw);
      return;
    }
    if (want_dw) submit(plan, {}, true);
    if (to.dx) submit(tiling(geometry.pixels, columns, plan.channel_tiles, 1), to.dx, false);
  });
}

}  // namespace

PointwiseTiling pointwise_forward_tiling(std::int64_t pixels, std::int64_t out_channels, int halves) {
  const std::int64_t channels = out_channels / halves;
  const int columns = columns_for(channels);
  PointwiseTiling plan = tiling(pixels, columns, halves * ceil_div(channels, columns), 1);
  plan.counters = plan.channel_tiles;
  return plan;
}

PointwiseTiling pointwise_backward_tiling(std::int64_t pixels, std::int64_t in_channels, std::int64_t out_channels,
                                          int halves) {
  const std::int64_t channels = out_channels / halves;
  const int columns = columns_for(channels);
  PointwiseTiling plan =
      tiling(pixels, columns, halves * ceil_div(in_channels, max_columns), ceil_div(channels, columns));
  plan.counters = plan.channel_tiles * plan.output_tiles * add_counters(plan.blocks);
  return plan;
}

std::size_t pointwise_conv_forward_workspace(const Shape& y) {
  std::size_t bytes = 0;
  for (const int halves : {1, 2}) {
    const PointwiseTiling plan = pointwise_forward_tiling(y[0] * y[1] * y[2], y[3], halves);
    bytes = std::max(bytes, counter_bytes(static_cast<std::size_t>(plan.counters)) +
                                static_cast<std::size_t>(plan.blocks * y[3]) * sizeof(ShiftedSums));
  }
  return bytes;
}

std::size_t pointwise_conv_backward_workspace(const Shape& x, const Shape& y) {
  std::size_t bytes = 0;
  for (const int halves : {1, 2}) {
    const PointwiseTiling plan = pointwise_backward_tiling(y[0] * y[1] * y[2], x[3], y[3], halves);
    const auto groups = static_cast<std::size_t>(plan.channel_tiles * plan.output_tiles);
    const auto elements = static_cast<std::size_t>(columns_for(y[3] / halves) * max_columns);
    bytes = std::max(bytes, counter_bytes(static_cast<std::size_t>(plan.counters)) +
                                groups * static_cast<std::size_t>(plan.blocks) * elements * sizeof(float));
  }
  return bytes;
}

void pointwise_conv_forward(const BatchNorm& bn, const PointwiseConv& conv, const PointwiseInput& input,
                            const TensorView& w, const TensorView& y, const PointwiseStatistics& statistics,
                            Product product, std::span<std::byte> workspace, void* stream) {
  forward("pointwise_conv_forward", bn, single(conv, input.source.x.shape, y.shape, w.f32(), nullptr), input, y,
          statistics, product, workspace, stream);
}

void pointwise_conv_backward(const PointwiseConv& conv, const PointwiseInput& input, const TensorView& w,
                             const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                             const TensorView& dw, Write write_dw, Product product, std::span<std::byte> workspace,
                             void* stream) {
  if (!dx.dx && !dw) return;
  backward("pointwise_conv_backward", single(conv, input.source.x.shape, output.g.shape, w.f32(), dw.f32()), input,
           output, dx, static_cast<bool>(dw), write_dw, product, workspace, stream);
}

void factorised_reduce_forward(const BatchNorm& bn, const PointwiseInput& input, const std::array<TensorView, 2>& w,
                               const TensorView& y, const PointwiseStatistics& statistics, Product product,
                               std::span<std::byte> workspace, void* stream) {
  forward("factorised_reduce_forward", bn, factorised(input.source.x.shape, y.shape, w, {}), input, y, statistics,
          product, workspace, stream);
}

void factorised_reduce_backward(const PointwiseInput& input, const std::array<TensorView, 2>& w,
                                const PointwiseOutputGradient& output, const PointwiseInputGradient& dx,
                                const std::array<TensorView, 2>& dw, Write write_dw, Product product,
                                std::span<std::byte> workspace, void* stream) {
  if (!dx.dx && !dw[0]) return;
  backward("factorised_reduce_backward", factorised(input.source.x.shape, output.g.shape, w, dw), input, output, dx,
           static_cast<bool>(dw[0]), write_dw, product, workspace, stream);
}

}  // namespace dnas::kernels::cuda
