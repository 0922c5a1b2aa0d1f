#pragma once

#include "core/moments.cuh"
#include "core/ptx.cuh"
#include "core/vec.cuh"
#include "core/warp_product.cuh"

#include <cstdint>

// What the passes of a 1x1 convolution share: tiles of pixels, and what the kernels are given.
namespace dnas::kernels::cuda::pointwise {

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

}  // namespace dnas::kernels::cuda::pointwise
