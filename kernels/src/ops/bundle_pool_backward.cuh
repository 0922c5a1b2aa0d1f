#pragma once

#include "ops/bundle_backward_tile.cuh"

// The backward pass of a state's pools, tile by tile: the outputs whose windows touch the tile are pooled again, the
// gradients of all candidates of one kind and window are added up where the pooled value is known, and every pixel of
// the tile takes what is due to it. What pool.hpp says of padding, NaN and equals holds.
namespace dnas::kernels::cuda {

/// A window without dilation.
struct PoolWindow {
  int kernel, padding, stride;
};

/// One of the candidates that share a pooled value.
template <typename T>
struct PoolTerm {
  Image<const T> g;
  const float* rows;  // [4, Channels], shared
};

/// Floats from pixel to pixel of the gradients in shared memory.
template <int Channels>
inline constexpr int pool_pitch = Channels + 4;

/// For the outputs `region` of a pool: `gradient` [pixels, pool_pitch], the gradient of the output summed over the
/// terms (of an average: of each position inside the image), 0 where the output image ends; `winner` [pixels,
/// Channels], of a maximum: the position in its window that it came from. `state`: the tile's source with the halo
/// `state_region`.
template <Product P, int Channels, bool Max, typename TermOf>
__device__ __forceinline__ void form_pool_gradients(const Operand<P>* state, const Region& state_region, int height,
                                                    int width, const PoolWindow& window, const Region& region,
                                                    int out_height, int out_width, int terms, TermOf&& term_of,
                                                    float* gradient, unsigned char* winner) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int quads = Channels / 4;
  for (int i = this_thread(); i < region.rows * region.columns * quads; i += tile_threads) {
    const int channel = i % quads * 4;
    const int pixel = i / quads;
    const int row = region.row + pixel / region.columns;
    const int column = region.column + pixel % region.columns;
    Vec<4> sum{};
    if (static_cast<unsigned>(row) < static_cast<unsigned>(out_height) &&
        static_cast<unsigned>(column) < static_cast<unsigned>(out_width)) {
      const int top = row * window.stride - window.padding;
      const int left = column * window.stride - window.padding;
      Vec<4> y{};
      int from[4] = {};
      int inside = 0;
#pragma unroll 1
      for (int a = 0; a < window.kernel; ++a) {
        if (static_cast<unsigned>(top + a) >= static_cast<unsigned>(height)) continue;
#pragma unroll 1
        for (int b = 0; b < window.kernel; ++b) {
          if (static_cast<unsigned>(left + b) >= static_cast<unsigned>(width)) continue;
          const int at = (top + a - state_region.row) * state_region.columns + left + b - state_region.column;
          const Vec<4> value = load<4>(state + at * pitch + channel);
          for (int j = 0; j < 4; ++j) {
            if constexpr (Max) {
              // The first one starts; then whatever is greater, or the first NaN.
              if (inside == 0 || value.lane[j] > y.lane[j] || (isnan(value.lane[j]) && !isnan(y.lane[j]))) {
                y.lane[j] = value.lane[j];
                from[j] = a * window.kernel + b;
              }
            } else {
              y.lane[j] += value.lane[j];
            }
          }
          ++inside;
        }
      }
      if constexpr (Max) {
        for (int j = 0; j < 4; ++j)
          winner[pixel * Channels + channel + j] = static_cast<unsigned char>(from[j]);
      } else {
        for (int j = 0; j < 4; ++j)
          y.lane[j] /= static_cast<float>(inside);
      }
#pragma unroll 1
      for (int k = 0; k < terms; ++k) {
        const PoolTerm<Operand<P>> term = term_of(k);
        const Vec<4> g = widen(load_quad(term.g.at(row, column), channel, term.g.channels, term.g.vectorised));
        const Vec<4> dy = form_gradient<Channels>(g, y, term.rows, channel);
        for (int j = 0; j < 4; ++j)
          sum.lane[j] += dy.lane[j];
      }
      if constexpr (!Max) {
        for (int j = 0; j < 4; ++j)
          sum.lane[j] /= static_cast<float>(inside);
      }
    } else if constexpr (Max) {
      for (int j = 0; j < 4; ++j)
        winner[pixel * Channels + channel + j] = 255;
    }
    store(gradient + pixel * pool_pitch<Channels> + channel, sum);
  }
}

/// dx of a strip += what the outputs in `region` owe it; (row, column): the tile's first pixel.
template <int Channels, bool Max>
__device__ __forceinline__ void gather_pool(const float* gradient, const unsigned char* winner, const Region& region,
                                            const PoolWindow& window, int row, int column, const Strip<Channels>& strip,
                                            StripSums& dx) {
  TapWalk at(window.kernel);
#pragma unroll 1
  for (int tap = 0; tap < window.kernel * window.kernel; ++tap, at.advance()) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      // stride * output = position of the window's first pixel.
      const int top = row + strip.row_of(i) + window.padding - at.row;
      if (window.stride == 2 && top % 2 != 0) continue;
      const int out_row = (window.stride == 2 ? top / 2 : top) - region.row;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int left = column + strip.column + j + window.padding - at.column;
        if (window.stride == 2 && left % 2 != 0) continue;
        const int pixel = out_row * region.columns + (window.stride == 2 ? left / 2 : left) - region.column;
        const Vec<2> value = load<2>(gradient + pixel * pool_pitch<Channels> + strip.channel);
        bool takes[2] = {true, true};
        if constexpr (Max) {
          const unsigned char* const from = winner + pixel * Channels + strip.channel;
          takes[0] = from[0] == tap;
          takes[1] = from[1] == tap;
        }
        if (takes[0]) dx[i][j][0] += value.lane[0];
        if (takes[1]) dx[i][j][1] += value.lane[1];
      }
    }
  }
}

}  // namespace dnas::kernels::cuda
