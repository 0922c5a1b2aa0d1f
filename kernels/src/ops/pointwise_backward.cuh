#pragma once

#include "core/add_blocks.cuh"
#include "core/shared_memory.cuh"
#include "ops/pointwise_tile.cuh"

// Gradients of input and weights, for pointwise_conv_cuda.cu.
namespace dnas::kernels::cuda::pointwise {

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
  add_blocks<threads>(arrays, elements, static_cast<int>(blockIdx.x), blocks, add_group(blocks),
                      counters + group * add_counters(blocks), [&](int i, const Vec<4>& sum) {
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

}  // namespace dnas::kernels::cuda::pointwise
