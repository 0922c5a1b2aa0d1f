#pragma once

#include "ops/bundle_tile.cuh"

#include <type_traits>

// The backward pass of a state's separable candidates, tile by tile (bundle_tile.cuh). A block owns a tile of the
// state's pixels q and turns the defining sum round: with dd = dy P, the gradient of the depthwise output,
//
//   dz[q] = sum over taps of filter[tap] * dd[o(q, tap)]          o: the output that sees q through the tap
//   dfilter[tap] = sum over q of z[q] * dd[o(q, tap)]             the same values of dd, and no halo of z
//
//   g, y --registers--> dy --product with P--> dd region --gather--> dz, in registers
//                                              (shared memory, with halo)
namespace dnas::kernels::cuda {

/// Floats from row to row of the pointwise weights in shared memory: the rows that a warp reads at a time lie in
/// different banks.
template <int Channels>
inline constexpr int weights_pitch = Channels + 2;

/// Floats of the taps whose gradients a block adds up at a time.
inline constexpr int max_tap_batch = 25;

// --- staging --------------------------------------------------------------------------------------------------------
// Asynchronous; all threads call. cp_async_wait and a barrier complete them.

/// Rows `begin` to `end` of pointwise weights [out, in] to their rows of `weights` [Channels, weights_pitch], the rest
/// 0. f32 whatever the product: a warp converts what it reads.
template <int Channels>
__device__ __forceinline__ void stage_weights(const float* from, int begin, int end, int in, float* weights) {
  for (int i = this_thread(); i < Channels * Channels; i += tile_threads) {
    const int row = i / Channels;
    const int column = i % Channels;
    const bool exists = row >= begin && row < end && column < in;
    cp_async<4>(weights + row * weights_pitch<Channels> + column, exists ? from + row * in + column : from,
                exists ? 4 : 0);
  }
}

/// Rows of `channels` floats to rows of Channels, the rest 0: filters [taps, channels], gradient rows [4, channels].
template <int Channels>
__device__ __forceinline__ void stage_rows(const float* from, int rows, int channels, float* to) {
  for (int i = this_thread(); i < rows * Channels; i += tile_threads) {
    const int channel = i % Channels;
    const bool exists = channel < channels;
    cp_async<4>(to + i, exists ? from + i / Channels * channels + channel : from, exists ? 4 : 0);
  }
}

// --- gradients of outputs -------------------------------------------------------------------------------------------

/// Four channels as they lie in memory: what is loaded ahead of its use should not wait to be widened.
template <typename T>
using StoredQuad = std::conditional_t<std::is_same_v<T, Bf16>, uint2, Vec<4>>;

__device__ __forceinline__ Vec<4> widen(const Vec<4>& quad) {
  return quad;
}
__device__ __forceinline__ Vec<4> widen(const uint2& quad) {
  const Vec<2> low = unpack(quad.x);
  const Vec<2> high = unpack(quad.y);
  return {{low.lane[0], low.lane[1], high.lane[0], high.lane[1]}};
}

/// Four channels of the pixel at `pixel`, 0 where the channels end.
template <typename T>
__device__ __forceinline__ StoredQuad<T> load_quad(const T* pixel, int channel, int channels, bool vectorised) {
  StoredQuad<T> quad{};
  if (vectorised) {
    if (channel < channels) quad = *reinterpret_cast<const StoredQuad<T>*>(pixel + channel);
  } else {
    float lane[4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (channel + i < channels) lane[i] = load<1>(pixel + channel + i).lane[0];
    }
    if constexpr (std::is_same_v<T, Bf16>) {
      quad = {pack(lane[0], lane[1]), pack(lane[2], lane[3])};
    } else {
      quad = {{lane[0], lane[1], lane[2], lane[3]}};
    }
  }
  return quad;
}

/// dy = scale * g + slope * (y - centre) + offset for four channels; `rows` [4, Channels] in shared memory
/// (NormalisationGradientRow). The difference is taken first: a mean may exceed what is spread about it.
template <int Channels>
__device__ __forceinline__ Vec<4> form_gradient(const Vec<4>& g, const Vec<4>& y, const float* rows, int channel) {
  const Vec<4> scale = load<4>(rows + channel);
  const Vec<4> slope = load<4>(rows + Channels + channel);
  const Vec<4> centre = load<4>(rows + 2 * Channels + channel);
  const Vec<4> offset = load<4>(rows + 3 * Channels + channel);
  Vec<4> dy;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    dy.lane[i] = fmaf(scale.lane[i], g.lane[i], fmaf(slope.lane[i], y.lane[i] - centre.lane[i], offset.lane[i]));
  return dy;
}

/// d[j] += A B_j for 16 pixels and 16 summed channels: a lane holds of A the rows group and group + 8, columns 4 member
/// to 4 member + 3; `rows` are the 16 rows of B in shared memory. Which column goes to which slot of the instruction is
/// free as long as A and B agree: so a lane's part of A is what one 16-byte load brings, and A needs no shared memory.
template <Product P, int Tiles>
__device__ __forceinline__ void multiply_quads(float (&d)[Tiles][4], const Vec<4> (&a)[2], const float* rows,
                                               int pitch) {
  const int lane = this_thread() % 32;
  const float* const b = rows + lane % 4 * 4 * pitch + lane / 4;
  if constexpr (P == Product::bf16) {
    const unsigned a_pair[4] = {pack(a[0].lane[0], a[0].lane[1]), pack(a[1].lane[0], a[1].lane[1]),
                                pack(a[0].lane[2], a[0].lane[3]), pack(a[1].lane[2], a[1].lane[3])};
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
      const unsigned b_pair[2] = {pack(b[8 * j], b[pitch + 8 * j]), pack(b[2 * pitch + 8 * j], b[3 * pitch + 8 * j])};
      mma_bf16(d[j], a_pair, b_pair);
    }
  } else {
#pragma unroll
    for (int s = 0; s < 4; s += 2) {
      const float a_value[4] = {a[0].lane[s], a[1].lane[s], a[0].lane[s + 1], a[1].lane[s + 1]};
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        const float b_value[2] = {b[s * pitch + 8 * j], b[(s + 1) * pitch + 8 * j]};
        detail::multiply_f32<P>(d[j], a_value, b_value);
      }
    }
  }
}

/// dd = dy P for the pixels `part` of the output image, to their places in `region` of it [rows, columns,
/// operand_pitch<P>(Channels)]; with bfloat16, dy is rounded before and dd after the product. Warps work on 16 pixels
/// at a time, each on its own; what the next step needs is on its way while they multiply.
template <Product P, int Channels>
__device__ __forceinline__ void form_products(const Image<const Operand<P>>& g, const Image<const Operand<P>>& y,
                                              const float* rows, const float* weights, const Region& region,
                                              const Region& part, Operand<P>* dd) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int steps = Channels / 16;
  constexpr int tiles = Channels / 8;
  const int thread = this_thread();
  const int lane = thread % 32;
  const int quad = lane % 4 * 4;
  const int pixels = part.rows * part.columns;
  const float per_column = 1.0F / static_cast<float>(part.columns);
  const int g_stride = static_cast<int>(g.pixel_stride);
  const int y_stride = static_cast<int>(y.pixel_stride);

  struct Pixels {
    int of_image[2];
    int slot[2];  // in the region; -1: none
  };
  struct Quads {
    StoredQuad<Operand<P>> g[2];
    StoredQuad<Operand<P>> y[2];
  };
  const auto pixels_from = [&](int chunk) {
    Pixels result;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = chunk + lane / 4 + half * 8;
      // The quotient rounded down: half a pixel keeps it off the integers by more than the product's rounding.
      const int part_row = static_cast<int>((static_cast<float>(pixel) + 0.5F) * per_column);
      const int row = part.row + part_row;
      const int column = part.column + pixel - part_row * part.columns;
      result.of_image[half] = row * g.width + column;
      result.slot[half] = pixel < pixels ? (row - region.row) * region.columns + column - region.column : -1;
    }
    return result;
  };
  const auto load_step = [&](const Pixels& from, int step) {
    Quads result{};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (from.slot[half] < 0) continue;
      result.g[half] = load_quad(g.data + from.of_image[half] * g_stride, 16 * step + quad, g.channels, g.vectorised);
      result.y[half] = load_quad(y.data + from.of_image[half] * y_stride, 16 * step + quad, y.channels, y.vectorised);
    }
    return result;
  };

  int chunk = thread / 32 * 16;
  if (chunk >= pixels) return;
  Pixels from = pixels_from(chunk);
  Quads next = load_step(from, 0);
  while (chunk < pixels) {
    float d[tiles][4] = {};
    const int slot[2] = {from.slot[0], from.slot[1]};
    chunk += tile_warps * 16;
#pragma unroll 1  // unrolled, weights of several steps are kept in registers
    for (int step = 0; step < steps; ++step) {
      const int channel = 16 * step + quad;
      const Vec<4> a[2] = {form_gradient<Channels>(widen(next.g[0]), widen(next.y[0]), rows, channel),
                           form_gradient<Channels>(widen(next.g[1]), widen(next.y[1]), rows, channel)};
      if (step + 1 < steps) {
        next = load_step(from, step + 1);
      } else if (chunk < pixels) {
        from = pixels_from(chunk);
        next = load_step(from, 0);
      }
      multiply_quads<P, tiles>(d, a, weights + 16 * step * weights_pitch<Channels>, weights_pitch<Channels>);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (slot[half] < 0) continue;
      Operand<P>* const to = dd + slot[half] * pitch + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < tiles; ++j)
        store(to + 8 * j, Vec<2>{{d[j][2 * half], d[j][2 * half + 1]}});
    }
  }
}

/// 0 where the region reaches beyond an image of height x width pixels: what lies there was computed from nothing.
template <Product P, int Channels>
__device__ __forceinline__ void clear_outside(const Region& region, int height, int width, Operand<P>* tile) {
  if (region.row >= 0 && region.column >= 0 && region.row + region.rows <= height &&
      region.column + region.columns <= width)
    return;
  constexpr int pairs = Channels / 2;
  const int thread = this_thread();
  const int pixels = region.rows * region.columns;
#pragma unroll 1
  for (RegionWalk at(region, thread / pairs, tile_threads / pairs); at.pixel < pixels; at.advance()) {
    if (static_cast<unsigned>(region.row + at.row) >= static_cast<unsigned>(height) ||
        static_cast<unsigned>(region.column + at.column) >= static_cast<unsigned>(width)) {
      store(tile + at.pixel * operand_pitch<P>(Channels) + thread % pairs * 2, Vec<2>{});
    }
  }
}

// --- gathering ------------------------------------------------------------------------------------------------------

/// Rows of a strip that every candidate of a launch can use: with stride 1 two rows between which dilations of 1 and 2
/// share what they read, with stride 2 neighbours, of which each tap meets exactly one.
[[nodiscard]] __device__ __forceinline__ int gather_spacing(int stride) {
  return stride == 1 ? 2 : 1;
}

/// Sums of values that threads of a block hold for their two channels: over a warp's strips at once, over warps by
/// add_warp_sums. `sums` [tile_warps, rows, Channels] in shared memory.
template <int Channels>
__device__ __forceinline__ void sum_strips(float first, float second, int row, int rows, float* sums) {
  constexpr int pairs = Channels / 2;
  const int thread = this_thread();
#pragma unroll
  for (int offset = pairs; offset < 32; offset *= 2) {
    first += __shfl_xor_sync(0xFFFFFFFFU, first, offset);
    second += __shfl_xor_sync(0xFFFFFFFFU, second, offset);
  }
  if (thread % 32 < pairs)
    store(sums + (thread / 32 * rows + row) * Channels + thread % pairs * 2, Vec<2>{{first, second}});
}

/// total [rows, channels] += sum over the warps. After a barrier; a thread always adds to the same elements.
template <int Channels>
__device__ __forceinline__ void add_warp_sums(const float* sums, int rows, int channels, float* total) {
  for (int i = this_thread(); i < rows * Channels; i += tile_threads) {
    const int channel = i % Channels;
    if (channel >= channels) continue;
    float sum = 0.0F;
#pragma unroll
    for (int warp = 0; warp < tile_warps; ++warp)
      sum += sums[warp * rows * Channels + i];
    total[i / Channels * channels + channel] += sum;
  }
}

/// What a gather works on.
template <Product P>
struct Gathered {
  const Operand<P>* dd;
  int columns;          // of the region
  int before;           // rows and columns of the region before the first output of the tile
  const float* filter;  // [kernel * kernel, Channels]
  float* sums;          // for sum_strips, of [taps in the batch, Channels]
};

/// dz of a strip, and with WithFilter dfilter into the warps' sums; stride 1, spacing 2.
template <Product P, int Channels, int Kernel, int Dilation, bool WithFilter>
__device__ __forceinline__ void gather_fixed(const Gathered<P>& from, int padding, const Strip<Channels>& strip,
                                             const StripSums& z, StripSums& dz) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int reach = 3 + (Kernel - 1) * Dilation + 1;
  constexpr int lag = 2 / Dilation;  // the strip's second row sees a row of the region this many taps later
  // A correlation with the mirrored filter: position a of the window is tap Kernel - 1 - a.
  const int first = from.before + padding - (Kernel - 1) * Dilation;
  const Operand<P>* row_at =
      from.dd + ((strip.row + first) * from.columns + strip.column + first) * pitch + strip.channel;
  float carry[lag][Kernel][2] = {};  // of the first row, for taps that the second row has still to see
#pragma unroll 1
  for (int a = 0; a < Kernel + lag; ++a) {
    float x[reach][2];
#pragma unroll
    for (int i = 0; i < reach; ++i) {
      const Vec<2> value = load<2>(row_at + i * pitch);
      x[i][0] = value.lane[0];
      x[i][1] = value.lane[1];
    }
    row_at += Dilation * from.columns * pitch;
    const auto add_row = [&](int row, int tap_row) {
#pragma unroll
      for (int b = 0; b < Kernel; ++b) {
        const Vec<2> w = load<2>(from.filter + (tap_row * Kernel + Kernel - 1 - b) * Channels + strip.channel);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          dz[row][j][0] = fmaf(w.lane[0], x[j + b * Dilation][0], dz[row][j][0]);
          dz[row][j][1] = fmaf(w.lane[1], x[j + b * Dilation][1], dz[row][j][1]);
        }
      }
    };
    if (a < Kernel) add_row(0, Kernel - 1 - a);
    if (a >= lag) add_row(1, Kernel - 1 - a + lag);
    if constexpr (WithFilter) {
#pragma unroll
      for (int b = 0; b < Kernel; ++b) {
        float sum[2];
        float second[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          sum[i] = 0.0F;
          second[i] = carry[lag - 1][b][i];
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            sum[i] = fmaf(z[0][j][i], x[j + b * Dilation][i], sum[i]);
            second[i] = fmaf(z[1][j][i], x[j + b * Dilation][i], second[i]);
          }
#pragma unroll
          for (int age = lag - 1; age > 0; --age)
            carry[age][b][i] = carry[age - 1][b][i];
          carry[0][b][i] = sum[i];
        }
        if (a >= lag) {
          const int tap = (Kernel - 1 - a + lag) * Kernel + Kernel - 1 - b;
          sum_strips<Channels>(second[0], second[1], tap, Kernel * Kernel, from.sums);
        }
      }
    }
  }
}

/// Likewise for any window and the taps from `begin` to `end`, one multiplication per load.
template <Product P, int Channels, bool WithFilter>
__device__ __forceinline__ void gather_any(const Gathered<P>& from, const Window& window, int padding, int begin,
                                           int end, const Strip<Channels>& strip, const StripSums& z, StripSums& dz) {
  constexpr int pitch = operand_pitch<P>(Channels);
  TapWalk at(window.kernel, begin);
#pragma unroll 1
  for (int tap = begin; tap < end; ++tap, at.advance()) {
    const int a = from.before + padding - at.row * window.dilation;
    const int b = from.before + padding - at.column * window.dilation;
    const Vec<2> w = load<2>(from.filter + tap * Channels + strip.channel);
    float sum[2] = {};
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Vec<2> value =
            load<2>(from.dd + ((strip.row_of(row) + a) * from.columns + strip.column + j + b) * pitch + strip.channel);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          dz[row][j][i] = fmaf(w.lane[i], value.lane[i], dz[row][j][i]);
          if constexpr (WithFilter) sum[i] = fmaf(z[row][j][i], value.lane[i], sum[i]);
        }
      }
    }
    if constexpr (WithFilter) sum_strips<Channels>(sum[0], sum[1], tap - begin, end - begin, from.sums);
  }
}

/// Likewise with stride 2 and spacing 1. Tiles begin at even pixels, so every tap meets the same row and every second
/// column of all strips.
template <Product P, int Channels, bool WithFilter>
__device__ __forceinline__ void gather_strided(const Gathered<P>& from, const Window& window, int padding, int begin,
                                               int end, const Strip<Channels>& strip, const StripSums& z,
                                               StripSums& dz) {
  constexpr int pitch = operand_pitch<P>(Channels);
  TapWalk tap_at(window.kernel, begin);
#pragma unroll 1
  for (int tap = begin; tap < end; ++tap, tap_at.advance()) {
    const int up = padding - tap_at.row * window.dilation;
    const int left = padding - tap_at.column * window.dilation;
    const int row = up & 1;
    const int column = left & 1;
    const Operand<P>* const at =
        from.dd +
        (((strip.row + row + up) / 2 + from.before) * from.columns + (strip.column + column + left) / 2 + from.before) *
            pitch +
        strip.channel;
    const Vec<2> w = load<2>(from.filter + tap * Channels + strip.channel);
    const Vec<2> value[2] = {load<2>(at), load<2>(at + pitch)};
    float sum[2] = {};
    const auto add = [&](float(&dz_row)[4][2], const float(&z_row)[4][2], int first) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          dz_row[first + 2 * j][i] = fmaf(w.lane[i], value[j].lane[i], dz_row[first + 2 * j][i]);
          if constexpr (WithFilter) sum[i] = fmaf(z_row[first + 2 * j][i], value[j].lane[i], sum[i]);
        }
      }
    };
    // Spelt out, since registers cannot be indexed.
    if (row == 0) {
      if (column == 0) {
        add(dz[0], z[0], 0);
      } else {
        add(dz[0], z[0], 1);
      }
    } else if (column == 0) {
      add(dz[1], z[1], 0);
    } else {
      add(dz[1], z[1], 1);
    }
    if constexpr (WithFilter) sum_strips<Channels>(sum[0], sum[1], tap - begin, end - begin, from.sums);
  }
}

/// The part of a candidate for the taps from `begin` to `end`, all of them if there are at most max_tap_batch.
template <Product P, int Channels, bool WithFilter>
__device__ __forceinline__ void gather(const Gathered<P>& from, const Window& window, int padding, int begin, int end,
                                       const Strip<Channels>& strip, const StripSums& z, StripSums& dz) {
  const auto is = [&](int kernel, int dilation) { return window.kernel == kernel && window.dilation == dilation; };
  if (window.stride == 2) {
    gather_strided<P, Channels, WithFilter>(from, window, padding, begin, end, strip, z, dz);
  } else if (is(3, 1)) {
    gather_fixed<P, Channels, 3, 1, WithFilter>(from, padding, strip, z, dz);
  } else if (is(5, 1)) {
    gather_fixed<P, Channels, 5, 1, WithFilter>(from, padding, strip, z, dz);
  } else if (is(3, 2)) {
    gather_fixed<P, Channels, 3, 2, WithFilter>(from, padding, strip, z, dz);
  } else if (is(5, 2)) {
    gather_fixed<P, Channels, 5, 2, WithFilter>(from, padding, strip, z, dz);
  } else {
    gather_any<P, Channels, WithFilter>(from, window, padding, begin, end, strip, z, dz);
  }
}

}  // namespace dnas::kernels::cuda
