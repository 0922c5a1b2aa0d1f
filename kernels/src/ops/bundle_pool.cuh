#pragma once

#include "ops/bundle_tile.cuh"

// Pools of a state's tile, on strips of spacing 1 (bundle_tile.cuh); what pool.hpp says of padding, NaN and equals
// holds.
namespace dnas::kernels::cuda {

/// Positions inside an axis of `extent` among `kernel` ones from `first` on.
[[nodiscard]] __device__ __forceinline__ int positions_inside(int first, int kernel, int extent) {
  const int begin = first > 0 ? first : 0;
  const int end = first + kernel < extent ? first + kernel : extent;
  return end - begin;
}

namespace detail {

/// One value of a window, of an image row that lies inside the image or not.
template <bool Max>
__device__ __forceinline__ void pool_value(float& pooled, float value, bool inside) {
  if constexpr (Max) {
    if (inside) pooled = larger(pooled, value);
  } else {
    pooled += value;  // the region holds 0 where the image ends
  }
}

/// The rows of a 3x3 window are read once for both rows of the strip.
template <Product P, int Channels, bool Max, int Stride>
__device__ __forceinline__ void pool_3x3(const Operand<P>* tile, const Region& region, int height, int width, int first,
                                         const Strip<Channels>& strip, StripSums& pooled) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int reach = Stride * 3 + 3;
  const int row = strip.row * Stride + first;
  const int column = strip.column * Stride + first;
#pragma unroll
  for (int a = 0; a < 3 + Stride; ++a) {
    const Operand<P>* const from = tile + ((row + a) * region.columns + column) * pitch + strip.channel;
    const bool row_inside = static_cast<unsigned>(region.row + row + a) < static_cast<unsigned>(height);
#pragma unroll
    for (int i = 0; i < reach; ++i) {
      const Vec<2> value = load<2>(from + i * pitch);
      const bool inside =
          row_inside && static_cast<unsigned>(region.column + column + i) < static_cast<unsigned>(width);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (a - r * Stride < 0 || a - r * Stride >= 3) continue;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (i - j * Stride < 0 || i - j * Stride >= 3) continue;
          pool_value<Max>(pooled[r][j][0], value.lane[0], inside);
          pool_value<Max>(pooled[r][j][1], value.lane[1], inside);
        }
      }
    }
  }
}

template <Product P, int Channels, bool Max>
__device__ __forceinline__ void pool_any(const Operand<P>* tile, const Region& region, int height, int width,
                                         const Window& window, const Strip<Channels>& strip, StripSums& pooled) {
  constexpr int pitch = operand_pitch<P>(Channels);
  const int end = window.first + window.kernel;  // pools have no dilation
#pragma unroll 1
  for (int a = window.first; a < end; ++a) {
#pragma unroll 1
    for (int b = window.first; b < end; ++b) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int row = strip.row_of(r) * window.stride + a;
          const int column = (strip.column + j) * window.stride + b;
          const Vec<2> value = load<2>(tile + (row * region.columns + column) * pitch + strip.channel);
          const bool inside = static_cast<unsigned>(region.row + row) < static_cast<unsigned>(height) &&
                              static_cast<unsigned>(region.column + column) < static_cast<unsigned>(width);
          pool_value<Max>(pooled[r][j][0], value.lane[0], inside);
          pool_value<Max>(pooled[r][j][1], value.lane[1], inside);
        }
      }
    }
  }
}

template <Product P, int Channels, bool Max>
__device__ __forceinline__ void pool_window(const Operand<P>* tile, const Region& region, int height, int width,
                                            const Window& window, const Strip<Channels>& strip, StripSums& pooled) {
  if (window.kernel == 3 && window.stride == 1) {
    pool_3x3<P, Channels, Max, 1>(tile, region, height, width, window.first, strip, pooled);
  } else if (window.kernel == 3) {
    pool_3x3<P, Channels, Max, 2>(tile, region, height, width, window.first, strip, pooled);
  } else {
    pool_any<P, Channels, Max>(tile, region, height, width, window, strip, pooled);
  }
}

}  // namespace detail

/// The maximum over each window of a strip; `window` has dilation 1, the image `height` x `width` pixels.
template <Product P, int Channels>
__device__ __forceinline__ void max_pool(const Operand<P>* tile, const Region& region, int height, int width,
                                         const Window& window, const Strip<Channels>& strip, StripSums& pooled) {
  for (auto& row : pooled) {
    for (auto& pixel : row) {
      pixel[0] = -INFINITY;
      pixel[1] = -INFINITY;
    }
  }
  detail::pool_window<P, Channels, true>(tile, region, height, width, window, strip, pooled);
}

/// The average over the positions of each window that lie inside the image. Strips reach beyond the output: what they
/// hold there means nothing.
template <Product P, int Channels>
__device__ __forceinline__ void avg_pool(const Operand<P>* tile, const Region& region, int height, int width,
                                         const Window& window, const Strip<Channels>& strip, StripSums& pooled) {
  for (auto& row : pooled) {
    for (auto& pixel : row) {
      pixel[0] = 0.0F;
      pixel[1] = 0.0F;
    }
  }
  detail::pool_window<P, Channels, false>(tile, region, height, width, window, strip, pooled);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int rows =
          positions_inside(region.row + strip.row_of(r) * window.stride + window.first, window.kernel, height);
      const int columns =
          positions_inside(region.column + (strip.column + j) * window.stride + window.first, window.kernel, width);
      const float inverse = 1.0F / static_cast<float>(rows * columns);
      pooled[r][j][0] *= inverse;
      pooled[r][j][1] *= inverse;
    }
  }
}

}  // namespace dnas::kernels::cuda
