#pragma once

#include "core/vec.cuh"
#include "dnas/kernels/tensor_view.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

// What kernels share that do something per channel to all pixels of a tensor [pixels, channels]: batch norm and its
// like. A block takes a run of consecutive pixels (blockIdx.x) and up to walk_channels channels (blockIdx.y). A thread
// keeps its channels, one vector of them, so that parameters and sums per channel stay in registers, and walks over
// every `rows`-th pixel. Neighbouring threads touch neighbouring addresses.
namespace dnas::kernels::cuda {

inline constexpr int walk_threads = 256;
inline constexpr int walk_channels = 64;        // of a block
inline constexpr int walk_batch = 4;            // pixels that a thread loads before it uses one
inline constexpr int walk_blocks = 264;         // two for each multiprocessor of an H100: enough bytes under way,
                                                // and few parts for the last block to add
inline constexpr int walk_thread_pixels = 128;  // then more blocks: a thread sums its pixels in f32

struct ChannelWalk {
  std::int64_t pixels;
  int channels;
  int vectors;  // of a pixel
  int lanes;    // vectors of a pixel in one block
  int chunk;    // pixels of a block
  unsigned blocks, tiles;

  ChannelWalk(std::int64_t pixels_, std::int64_t channels_, int width)
      : pixels(pixels_), channels(static_cast<int>(channels_)), vectors(channels / width) {
    const int most = walk_channels / width;
    tiles = static_cast<unsigned>((vectors + most - 1) / most);
    lanes = (vectors + static_cast<int>(tiles) - 1) / static_cast<int>(tiles);
    const std::int64_t rows = walk_threads / lanes;
    const std::int64_t turns = (pixels + rows - 1) / rows;  // that one block would take
    const std::int64_t least = (turns + walk_thread_pixels - 1) / walk_thread_pixels;
    const std::int64_t wanted =
        std::max(least, std::min<std::int64_t>((turns + walk_batch - 1) / walk_batch, walk_blocks));
    const std::int64_t turns_per_block = (turns + wanted - 1) / wanted;
    chunk = static_cast<int>(turns_per_block * rows);
    blocks = static_cast<unsigned>((pixels + chunk - 1) / chunk);
  }
  [[nodiscard]] dim3 grid() const { return dim3(blocks, tiles); }
};

/// A tensor of the walk.
template <typename T>
struct Pixels {
  T* data;
  std::int64_t stride;  // from pixel to pixel

  explicit Pixels(const TensorView& t) : data(static_cast<T*>(t.data)), stride(t.pixel_stride) {}
  [[nodiscard]] __device__ __forceinline__ T* at(std::int64_t pixel, int channel) const {
    return data + pixel * stride + channel;
  }
};

/// The pixels of one thread. A thread without work (idle()) still joins its block's barriers.
template <int Width>
struct WalkThread {
  int vector;   // of a pixel
  int channel;  // first of the vector
  int row, rows;
  std::int64_t begin, end;  // pixels of the block
  bool idle;

  __device__ __forceinline__ explicit WalkThread(const ChannelWalk& walk) {
    const int thread = static_cast<int>(threadIdx.x);
    vector = static_cast<int>(blockIdx.y) * walk.lanes + thread % walk.lanes;
    channel = vector * Width;
    row = thread / walk.lanes;
    rows = walk_threads / walk.lanes;
    begin = std::int64_t{blockIdx.x} * walk.chunk;
    end = begin + walk.chunk < walk.pixels ? begin + walk.chunk : walk.pixels;
    idle = row >= rows || vector >= walk.vectors;
  }

  /// Calls body(first, count) for its pixels first, first + rows, ..., `count` of them: walk_batch as long as there are
  /// that many, then 1, as std::integral_constant, so that a body can load all of them before it uses one.
  template <typename Body>
  __device__ __forceinline__ void for_pixels(Body&& body) const {
    if (idle) return;
    std::int64_t p = begin + row;
    for (; p + std::int64_t{walk_batch - 1} * rows < end; p += std::int64_t{walk_batch} * rows)
      body(p, std::integral_constant<int, walk_batch>{});
    for (; p < end; p += rows)
      body(p, std::integral_constant<int, 1>{});
  }

  /// The thread's vectors of pixels first, first + rows, ...
  template <int Count, typename T>
  __device__ __forceinline__ void load_pixels(const Pixels<T>& x, std::int64_t first,
                                              Vec<Width> (&value)[Count]) const {
#pragma unroll
    for (int i = 0; i < Count; ++i)
      value[i] = load<Width>(x.at(first + std::int64_t{i} * rows, channel));
  }
};

/// Sums over the rows of a block, valid in row 0: rows are halved, so the order is fixed. All threads call it.
/// @param scratch  shared, [Count, walk_threads]
template <int Count>
__device__ __forceinline__ void sum_rows(float (&value)[Count], int lanes, float* scratch) {
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / lanes;
  for (int rows = walk_threads / lanes; rows > 1; rows = (rows + 1) / 2) {
    const int half = (rows + 1) / 2;
    if (row >= half && row < rows) {
      for (int k = 0; k < Count; ++k)
        scratch[k * walk_threads + thread] = value[k];
    }
    // The next turn writes rows below half, so one barrier is enough.
    __syncthreads();
    if (row + half < rows) {
      for (int k = 0; k < Count; ++k)
        value[k] += scratch[k * walk_threads + thread + half * lanes];
    }
  }
}

/// Whether vectors of four channels may be used: 16 bytes of f32, 8 of bfloat16.
[[nodiscard]] inline bool vectorisable(const TensorView& t) {
  return reinterpret_cast<std::uintptr_t>(t.data) % (4 * size_of(t.dtype)) == 0 && t.pixel_stride % 4 == 0 &&
         t.channels() % 4 == 0;
}
[[nodiscard]] inline bool vectorisable(std::initializer_list<TensorView> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const TensorView& t) { return !t || vectorisable(t); });
}

/// Calls submit.template operator()<T, Width>() with the type of the tensors and the width of accesses.
template <typename Submit>
void with_storage(DType dtype, bool vectorised, Submit&& submit) {
  if (dtype == DType::bf16) {
    vectorised ? submit.template operator()<Bf16, 4>() : submit.template operator()<Bf16, 1>();
  } else {
    vectorised ? submit.template operator()<float, 4>() : submit.template operator()<float, 1>();
  }
}

}  // namespace dnas::kernels::cuda
