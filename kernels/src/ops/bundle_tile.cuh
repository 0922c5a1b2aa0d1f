#pragma once

#include "core/ptx.cuh"
#include "core/vec.cuh"
#include "core/warp_product.cuh"

#include <cstdint>

// What the kernels of a state's candidate operations share (separable_bundle.hpp, node_reduction.hpp): a block computes
// a tile of 4096 output elements, that is 4096 / Channels pixels with all their channels, so that whatever the number
// of channels each of 256 threads owns 16 elements and each of 8 warps 4 accumulators of 16x8.
//
//   source region --depthwise--> d [pixels, Channels] --product with the pointwise weights--> y, in registers
//   (shared memory, with halo)   (shared memory)          (tensor cores)
//
// Two divisions of a tile among threads: *strips* for what slides windows (two channels of 4 pixels in each of two
// rows) and *fragments* for what comes out of products (TileFragments).
namespace dnas::kernels::cuda {

inline constexpr int tile_elements = 4096;
inline constexpr int tile_threads = 256;
inline constexpr int tile_warps = tile_threads / 32;
inline constexpr int max_tile_channels = 64;

/// A tile of output pixels with Channels (16, 32 or 64) channels; tensors with fewer are filled up with zeros.
template <int Channels>
struct Tile {
  static_assert(Channels == 16 || Channels == 32 || Channels == 64);
  static constexpr int pixels = tile_elements / Channels;
  static constexpr int width = Channels == 64 ? 8 : 16;
  static constexpr int height = pixels / width;
};

/// One image of a tensor.
template <typename T>
struct Image {
  T* data;
  std::int64_t pixel_stride;  // elements
  int height, width;
  int channels;
  bool vectorised;  // 16-byte accesses are allowed at every pixel

  [[nodiscard]] __device__ __forceinline__ bool contains(int row, int column) const {
    return static_cast<unsigned>(row) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(column) < static_cast<unsigned>(width);
  }
  [[nodiscard]] __device__ __forceinline__ T* at(int row, int column) const {
    return data + (std::int64_t{row} * width + column) * pixel_stride;
  }
};

/// A rectangle of an image, which may reach beyond it.
struct Region {
  int row, column;  // first
  int rows, columns;
};

/// The thread's index, found anew: a kernel of many phases has no registers for what each makes of it.
__device__ __forceinline__ int this_thread() {
  return opaque(static_cast<int>(threadIdx.x));
}

// --- shared memory --------------------------------------------------------------------------------------------------

/// Walks over the pixels of a region in steps of a fixed number of them, without a division per step.
class RegionWalk {
 public:
  __device__ __forceinline__ RegionWalk(const Region& region, int first, int step)
      : pixel(first),
        row(first / region.columns),
        column(first % region.columns),
        step_(step),
        step_rows_(step / region.columns),
        step_columns_(step % region.columns),
        columns_(region.columns) {}

  __device__ __forceinline__ void advance() {
    pixel += step_;
    row += step_rows_;
    column += step_columns_;
    if (column >= columns_) {
      column -= columns_;
      ++row;
    }
  }

  int pixel;  // of the region, row by row
  int row, column;

 private:
  int step_, step_rows_, step_columns_, columns_;
};

/// Starts the copy of a region to `tile`, [rows, columns, operand_pitch<P>(Channels)], zeros where the image or its
/// channels end. All threads call it; cp_async_wait and a barrier complete it.
template <Product P, int Channels>
__device__ __forceinline__ void load_region(const Image<const Operand<P>>& image, const Region& region,
                                            Operand<P>* tile) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int vector = 16 / static_cast<int>(sizeof(Operand<P>));
  const int pixels = region.rows * region.columns;
  const int thread = this_thread();
  // A thread keeps its channels: tile_threads is a multiple of the vectors, and of the channels, of a pixel.
  if (image.vectorised) {
    constexpr int vectors = Channels / vector;
    const int channel = thread % vectors * vector;
#pragma unroll 1
    for (RegionWalk at(region, thread / vectors, tile_threads / vectors); at.pixel < pixels; at.advance()) {
      const bool inside = image.contains(region.row + at.row, region.column + at.column) && channel < image.channels;
      cp_async<16>(tile + at.pixel * pitch + channel,
                   inside ? image.at(region.row + at.row, region.column + at.column) + channel : image.data,
                   inside ? 16 : 0);
    }
  } else {
    const int channel = thread % Channels;
#pragma unroll 1
    for (RegionWalk at(region, thread / Channels, tile_threads / Channels); at.pixel < pixels; at.advance()) {
      const bool inside = image.contains(region.row + at.row, region.column + at.column) && channel < image.channels;
      const Operand<P>* const from = image.at(region.row + at.row, region.column + at.column) + channel;
      store_operand(tile + at.pixel * pitch + channel, inside ? load<1>(from).lane[0] : 0.0F);
    }
  }
  cp_async_commit();
}

/// (x - mean) * rstd in place, and 0 where the image ends; normalisation [2, channels]. Between barriers.
template <Product P, int Channels>
__device__ __forceinline__ void normalise_region(const Image<const Operand<P>>& image, const Region& region,
                                                 const float* normalisation, Operand<P>* tile) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int pairs = Channels / 2;
  // A thread keeps its pair of channels: tile_threads is a multiple of their number.
  const int thread = this_thread();
  const int channel = thread % pairs * 2;
  float mean[2];
  float rstd[2];
  for (int i = 0; i < 2; ++i) {
    const bool exists = channel + i < image.channels;
    mean[i] = exists ? normalisation[channel + i] : 0.0F;
    rstd[i] = exists ? normalisation[image.channels + channel + i] : 0.0F;
  }
  const int pixels = region.rows * region.columns;
#pragma unroll 1
  for (RegionWalk walk(region, thread / pairs, tile_threads / pairs); walk.pixel < pixels; walk.advance()) {
    const bool inside = image.contains(region.row + walk.row, region.column + walk.column);
    Operand<P>* const at = tile + walk.pixel * pitch + channel;
    Vec<2> value = load<2>(at);
    for (int i = 0; i < 2; ++i)
      value.lane[i] = inside ? (value.lane[i] - mean[i]) * rstd[i] : 0.0F;
    store(at, value);
  }
}

// --- strips ---------------------------------------------------------------------------------------------------------

/// A thread's two channels of 2 x 4 pixels of a tile. The two rows lie `spacing` apart, so that they share the rows
/// that a window of that dilation reads.
template <int Channels>
struct Strip {
  static constexpr int columns = 4;
  static constexpr int rows = 2;
  int channel;  // first of the two
  int row;      // first of the two
  int column;   // first of the four
  int spacing;

  /// `spacing_`: 1, 2 or, where it divides the rows so, more; callers with another dilation take 1.
  __device__ __forceinline__ explicit Strip(int spacing_) : spacing(spacing_) {
    constexpr int pairs = Channels / 2;
    constexpr int across = Tile<Channels>::width / columns;
    const int thread = this_thread();
    const int strip = thread / pairs;
    channel = thread % pairs * 2;
    column = strip % across * columns;
    const int pair = strip / across;
    row = pair / spacing * 2 * spacing + pair % spacing;
  }
  [[nodiscard]] __device__ __forceinline__ int row_of(int i) const { return row + i * spacing; }
  /// Pixel (i, j) within the tile.
  [[nodiscard]] __device__ __forceinline__ int pixel(int i, int j) const {
    return row_of(i) * Tile<Channels>::width + column + j;
  }
};

/// A window on a region in shared memory: output (row, column) of the tile sees with tap (a, b) the region's pixel (row
/// * stride + first + a * dilation, column * stride + first + b * dilation), with first >= 0.
struct Window {
  int kernel, dilation, stride;
  int first;
};

/// Walks over the taps of a window of any size, without a division per tap.
class TapWalk {
 public:
  __device__ __forceinline__ explicit TapWalk(int kernel, int first = 0)
      : row(first / kernel), column(first % kernel), kernel_(kernel) {}

  __device__ __forceinline__ void advance() {
    if (++column < kernel_) return;
    column = 0;
    ++row;
  }

  int row, column;

 private:
  int kernel_;
};

using StripSums = float[2][4][2];  // row, column, channel

/// sum += relu(x) correlated with `filter` [Kernel * Kernel, Channels], for a strip of spacing Dilation (if at most 2).
template <Product P, int Channels, int Kernel, int Dilation, int Stride>
__device__ __forceinline__ void correlate_fixed(const Operand<P>* region, int region_columns, int first,
                                                const float* filter, const Strip<Channels>& strip, StripSums& sum) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int reach = Stride * 3 + (Kernel - 1) * Dilation + 1;  // columns that the strip reads in a row
  // The second row of the strip sees the same region row with a tap that lies this much before that of the first.
  constexpr int lag = Stride;
  const Operand<P>* const corner =
      region + ((strip.row * Stride + first) * region_columns + strip.column * Stride + first) * pitch + strip.channel;
#pragma unroll
  for (int a = 0; a < Kernel + lag; ++a) {
    float x[reach][2];
#pragma unroll
    for (int i = 0; i < reach; ++i) {
      // Taps of a dilated window with stride 2 skip every second column.
      if (Stride == 2 && Dilation == 2 && i % 2 == 1) continue;
      const Vec<2> value = load<2>(corner + (a * Dilation * region_columns + i) * pitch);
      x[i][0] = positive_part(value.lane[0]);
      x[i][1] = positive_part(value.lane[1]);
    }
#pragma unroll
    for (int b = 0; b < Kernel; ++b) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const int tap = a - row * lag;
        if (tap < 0 || tap >= Kernel) continue;
        const Vec<2> w = load<2>(filter + (tap * Kernel + b) * Channels + strip.channel);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          sum[row][j][0] = fmaf(w.lane[0], x[j * Stride + b * Dilation][0], sum[row][j][0]);
          sum[row][j][1] = fmaf(w.lane[1], x[j * Stride + b * Dilation][1], sum[row][j][1]);
        }
      }
    }
  }
}

/// Likewise for any window, one multiplication per load.
template <Product P, int Channels>
__device__ __forceinline__ void correlate_any(const Operand<P>* region, int region_columns, const Window& window,
                                              const float* filter, const Strip<Channels>& strip, StripSums& sum) {
  constexpr int pitch = operand_pitch<P>(Channels);
  TapWalk at(window.kernel);
#pragma unroll 1
  for (int tap = 0; tap < window.kernel * window.kernel; ++tap, at.advance()) {
    const int a = window.first + at.row * window.dilation;
    const int b = window.first + at.column * window.dilation;
    const Vec<2> w = load<2>(filter + tap * Channels + strip.channel);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Vec<2> value = load<2>(
            region +
            ((strip.row_of(row) * window.stride + a) * region_columns + (strip.column + j) * window.stride + b) *
                pitch +
            strip.channel);
        for (int i = 0; i < 2; ++i)
          sum[row][j][i] = fmaf(w.lane[i], positive_part(value.lane[i]), sum[row][j][i]);
      }
    }
  }
}

/// Rows of a strip that suits a dilation.
[[nodiscard]] __device__ __forceinline__ int spacing_for(int dilation) {
  return dilation == 2 ? 2 : 1;
}

/// The depthwise convolution of relu(x) for a strip of spacing_for(window.dilation); the windows of the usual
/// candidates run unrolled.
template <Product P, int Channels>
__device__ __forceinline__ void correlate(const Operand<P>* region, int region_columns, const Window& window,
                                          const float* filter, const Strip<Channels>& strip, StripSums& sum) {
  const auto is = [&](int kernel, int dilation) { return window.kernel == kernel && window.dilation == dilation; };
  const auto run = [&](auto kernel, auto dilation) {
    constexpr int k = decltype(kernel)::value;
    constexpr int d = decltype(dilation)::value;
    if (window.stride == 1) {
      correlate_fixed<P, Channels, k, d, 1>(region, region_columns, window.first, filter, strip, sum);
    } else {
      correlate_fixed<P, Channels, k, d, 2>(region, region_columns, window.first, filter, strip, sum);
    }
  };
  using std::integral_constant;
  if (is(3, 1)) {
    run(integral_constant<int, 3>{}, integral_constant<int, 1>{});
  } else if (is(5, 1)) {
    run(integral_constant<int, 5>{}, integral_constant<int, 1>{});
  } else if (is(3, 2)) {
    run(integral_constant<int, 3>{}, integral_constant<int, 2>{});
  } else if (is(5, 2)) {
    run(integral_constant<int, 5>{}, integral_constant<int, 2>{});
  } else {
    correlate_any<P, Channels>(region, region_columns, window, filter, strip, sum);
  }
}

/// The source's pixels that the first tap of a window sees.
template <Product P, int Channels>
__device__ __forceinline__ void copy_strip(const Operand<P>* region, int region_columns, const Window& window,
                                           bool relu, const Strip<Channels>& strip, StripSums& copy) {
#pragma unroll
  for (int row = 0; row < 2; ++row) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int from = (strip.row_of(row) * window.stride + window.first) * region_columns +
                       (strip.column + j) * window.stride + window.first;
      const Vec<2> value = load<2>(region + from * operand_pitch<P>(Channels) + strip.channel);
      for (int i = 0; i < 2; ++i)
        copy[row][j][i] = relu ? positive_part(value.lane[i]) : value.lane[i];
    }
  }
}

/// Writes a strip's values to `tile` [pixels, operand_pitch<P>(Channels)].
template <Product P, int Channels>
__device__ __forceinline__ void store_strip(const Strip<Channels>& strip, const StripSums& sum, Operand<P>* tile) {
#pragma unroll
  for (int row = 0; row < 2; ++row) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      store(tile + strip.pixel(row, j) * operand_pitch<P>(Channels) + strip.channel,
            Vec<2>{{sum[row][j][0], sum[row][j][1]}});
    }
  }
}

// --- fragments ------------------------------------------------------------------------------------------------------

/// The 16 elements of a tile that a thread holds after a product: value[i][e] belongs to pixel(i, e / 2) and
/// channel(i) + e % 2.
template <int Channels>
struct TileFragments {
  static constexpr int count = 4;
  static constexpr int across = Channels / 8;               // accumulators side by side
  static constexpr int together = across < 4 ? across : 4;  // of a warp, side by side
  float value[count][4] = {};

  [[nodiscard]] __device__ __forceinline__ static int first() { return static_cast<int>(threadIdx.x) / 32 * count; }
  /// First pixel and first channel of accumulator i of this warp.
  [[nodiscard]] __device__ __forceinline__ static int first_pixel(int i) { return (first() + i) / across * 16; }
  [[nodiscard]] __device__ __forceinline__ static int first_channel(int i) { return (first() + i) % across * 8; }

  [[nodiscard]] __device__ __forceinline__ static int pixel(int i, int half) {
    return first_pixel(i) + static_cast<int>(threadIdx.x) % 32 / 4 + half * 8;
  }
  [[nodiscard]] __device__ __forceinline__ static int channel(int i) {
    return first_channel(i) + static_cast<int>(threadIdx.x) % 4 * 2;
  }

  /// value += a b^T: a [pixels, Channels] and b [Channels, Channels] in shared memory, rows operand_pitch apart.
  template <Product P>
  __device__ __forceinline__ void multiply(const Operand<P>* a, const Operand<P>* b) {
    constexpr int pitch = operand_pitch<P>(Channels);
#pragma unroll
    for (int i = 0; i < count; i += together) {
      multiply_rows<P, Channels, together>(reinterpret_cast<float(&)[together][4]>(value[i]),
                                           a + first_pixel(i) * pitch, pitch, b + first_channel(i) * pitch, pitch);
    }
  }

  /// Calls body(i, e, pixel, channel) for the elements of this thread.
  template <typename Body>
  __device__ __forceinline__ static void for_each(Body&& body) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        body(i, e, pixel(i, e / 2), channel(i) + e % 2);
    }
  }
};

/// Sums over the pixels of a tile, per channel. `sums` [tile_warps, Channels] in shared memory receives the part of
/// each warp; after a barrier, add_warps() gives the sum of a channel. element(i, e) is the value at fragment position
/// (i, e), 0 where the tile reaches beyond the image.
template <int Channels, typename Element>
__device__ __forceinline__ void sum_pixels(float* sums, Element&& element) {
  using Fragments = TileFragments<Channels>;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int j = 0; j < Fragments::together; ++j) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = 0.0F;
#pragma unroll
      for (int i = j; i < Fragments::count; i += Fragments::together)
        sum += element(i, half) + element(i, half + 2);
      for (int offset = 4; offset < 32; offset *= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFU, sum, offset);
      if (thread % 32 < 4) sums[thread / 32 * Channels + Fragments::channel(j) + half] = sum;
    }
  }
}

template <int Channels>
[[nodiscard]] __device__ __forceinline__ float add_warps(const float* sums, int channel) {
  // With 64 channels a warp holds half of them.
  constexpr int step = TileFragments<Channels>::across / TileFragments<Channels>::together;
  float sum = 0.0F;
  for (int warp = channel / 32 % step; warp < tile_warps; warp += step)
    sum += sums[warp * Channels + channel];
  return sum;
}

}  // namespace dnas::kernels::cuda
