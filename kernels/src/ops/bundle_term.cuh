#pragma once

#include "core/shared_memory.cuh"
#include "ops/bundle_pool.cuh"
#include "ops/bundle_tile.cuh"
#include "ops/state_bundle_cuda.hpp"

#include <algorithm>

// What the kernels of a state's forward pass and of a node share: how work is cut into tiles, candidates as kernel
// parameters, and the output of a candidate on a tile.
namespace dnas::kernels::cuda {

// --- kernel parameters ----------------------------------------------------------------------------------------------

/// Tiles of all images of an output.
struct TileGrid {
  int height, width;  // of an image
  int across;         // tiles side by side
  int per_image;
  int tiles;
};

/// A state, and what its region in shared memory holds beyond the pixels that its outputs lie on.
struct TileSource {
  const void* x;
  const float* normalisation;  // [2, channels], or null
  std::int64_t pixel_stride;
  int height, width, channels;
  int stride;  // of the candidates
  int before, after;
  bool vectorised;
};

struct TileCandidate {
  const float* filter;
  const float* pointwise;
  int source;    // its number
  int channels;  // of the output
  int kernel, dilation, padding;
  CandidateKind kind;
  bool vectorised;  // weights may be copied 16 bytes at a time
};

/// A tensor in fragments: an output, a node or its gradient.
struct TileTensor {
  void* data;
  std::int64_t pixel_stride;
  int channels;
  bool paired;  // two channels may be read and written at once
};

// --- a block's tile -------------------------------------------------------------------------------------------------

/// Which outputs a tile covers: `rows` x `columns` of its pixels, from (row, column) of `image` on.
template <int Channels>
struct TilePosition {
  int image;
  int row, column;
  int rows, columns;

  __device__ __forceinline__ TilePosition(const TileGrid& grid, int tile)
      : image(tile / grid.per_image),
        row(tile % grid.per_image / grid.across * Tile<Channels>::height),
        column(tile % grid.per_image % grid.across * Tile<Channels>::width),
        rows(min(grid.height - row, Tile<Channels>::height)),
        columns(min(grid.width - column, Tile<Channels>::width)) {}

  [[nodiscard]] __device__ __forceinline__ int pixels() const { return rows * columns; }
  [[nodiscard]] __device__ __forceinline__ bool contains(int pixel) const {
    return pixel / Tile<Channels>::width < rows && pixel % Tile<Channels>::width < columns;
  }
  /// The rectangle of the source that the tile's outputs depend on.
  [[nodiscard]] __device__ __forceinline__ Region region(const TileSource& s) const {
    const int margin = s.before + s.after + 1;
    return {row * s.stride - s.before, column * s.stride - s.before, (Tile<Channels>::height - 1) * s.stride + margin,
            (Tile<Channels>::width - 1) * s.stride + margin};
  }
};

template <Product P>
__device__ __forceinline__ Image<const Operand<P>> image_of(const TileSource& s, int image) {
  return {static_cast<const Operand<P>*>(s.x) + std::int64_t{image} * s.height * s.width * s.pixel_stride,
          s.pixel_stride,
          s.height,
          s.width,
          s.channels,
          s.vectorised};
}

/// Calls body(i, half, element) for each pair of channels of this thread whose pixel lies inside and whose first
/// channel exists; `element` counts from the tensor's first.
template <int Channels, typename Body>
__device__ __forceinline__ void for_each_pair(const TileTensor& t, const TileGrid& grid,
                                              const TilePosition<Channels>& position, Body&& body) {
  using Fragments = TileFragments<Channels>;
#pragma unroll
  for (int i = 0; i < Fragments::count; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = Fragments::pixel(i, half);
      const int channel = Fragments::channel(i);
      if (!position.contains(pixel) || channel >= t.channels) continue;
      const int row = position.row + pixel / Tile<Channels>::width;
      const int column = position.column + pixel % Tile<Channels>::width;
      body(i, half,
           ((std::int64_t{position.image} * grid.height + row) * grid.width + column) * t.pixel_stride + channel);
    }
  }
}

/// The tensor's elements at the positions of a thread's fragments, 0 elsewhere.
template <Product P, int Channels>
__device__ __forceinline__ void read_fragments(const TileTensor& t, const TileGrid& grid,
                                               const TilePosition<Channels>& position, TileFragments<Channels>& f) {
  f = {};
  const auto* const data = static_cast<const Operand<P>*>(t.data);
  for_each_pair<Channels>(t, grid, position, [&](int i, int half, std::int64_t element) {
    if (t.paired) {
      const Vec<2> value = load<2>(data + element);
      f.value[i][2 * half] = value.lane[0];
      f.value[i][2 * half + 1] = value.lane[1];
    } else {
      f.value[i][2 * half] = load<1>(data + element).lane[0];
      if (TileFragments<Channels>::channel(i) + 1 < t.channels) {
        f.value[i][2 * half + 1] = load<1>(data + element + 1).lane[0];
      }
    }
  });
}

template <Product P, int Channels>
__device__ __forceinline__ void write_fragments(const TileTensor& t, const TileGrid& grid,
                                                const TilePosition<Channels>& position,
                                                const TileFragments<Channels>& f) {
  auto* const data = static_cast<Operand<P>*>(t.data);
  for_each_pair<Channels>(t, grid, position, [&](int i, int half, std::int64_t element) {
    if (t.paired) {
      store(data + element, Vec<2>{{f.value[i][2 * half], f.value[i][2 * half + 1]}});
    } else {
      store_operand(data + element, f.value[i][2 * half]);
      if (TileFragments<Channels>::channel(i) + 1 < t.channels) {
        store_operand(data + element + 1, f.value[i][2 * half + 1]);
      }
    }
  });
}

// --- shared memory --------------------------------------------------------------------------------------------------

/// What the outputs of candidates are computed in.
template <Product P, int Channels>
struct TermMemory {
  Operand<P>* region;     // of the source
  Operand<P>* d;          // [pixels, pitch]: what goes into a product, or a pooled tile
  Operand<P>* pointwise;  // [Channels, pitch]
  float* staging;         // [Channels, Channels]: pointwise weights before they are rounded; bf16 only
  float* filter;          // [taps, Channels]

  __device__ __forceinline__ TermMemory(SharedMemory& memory, int region_pixels, int taps) {
    constexpr int pitch = operand_pitch<P>(Channels);
    region = memory.take<Operand<P>>(region_pixels * pitch);
    d = memory.take<Operand<P>>(Tile<Channels>::pixels * pitch);
    pointwise = memory.take<Operand<P>>(Channels * pitch);
    staging = P == Product::bf16 ? memory.take<float>(Channels * Channels) : nullptr;
    filter = memory.take<float>(taps * Channels);
  }
};

/// Bytes of a TermMemory.
template <Product P, int Channels>
[[nodiscard]] std::size_t term_memory_bytes(int region_pixels, int taps) {
  constexpr auto pitch = static_cast<std::size_t>(operand_pitch<P>(Channels));
  constexpr auto channels = static_cast<std::size_t>(Channels);
  return shared_bytes<Operand<P>>(static_cast<std::size_t>(region_pixels) * pitch) +
         shared_bytes<Operand<P>>(static_cast<std::size_t>(Tile<Channels>::pixels) * pitch) +
         shared_bytes<Operand<P>>(channels * pitch) +
         (P == Product::bf16 ? shared_bytes<float>(channels * channels) : 0) +
         shared_bytes<float>(static_cast<std::size_t>(taps) * channels);
}

// --- the output of a candidate --------------------------------------------------------------------------------------

namespace detail {

/// Calls body(row, column) for the vectors of Width floats of a [rows, Channels] matrix that are this thread's.
template <int Channels, int Width, typename Body>
__device__ __forceinline__ void for_each_vector(int rows, Body&& body) {
  constexpr int across = Channels / Width;
  for (int i = static_cast<int>(threadIdx.x); i < rows * across; i += tile_threads)
    body(i / across, i % across * Width);
}

/// Starts the copy of a [rows, columns] matrix to [to_rows, Channels] with `pitch`, filled up with zeros.
template <int Channels, int Width>
__device__ __forceinline__ void start_matrix(const float* from, int rows, int columns, int to_rows, float* to,
                                             int pitch) {
  for_each_vector<Channels, Width>(to_rows, [&](int row, int column) {
    const bool exists = row < rows && column < columns;
    cp_async<Width * 4>(to + row * pitch + column, exists ? from + row * columns + column : from,
                        exists ? Width * 4 : 0);
  });
}

}  // namespace detail

/// Starts the copy of a candidate's depthwise filter. As with all weights below, the barrier that follows the wait
/// completes it.
template <Product P, int Channels>
__device__ __forceinline__ void start_filter(const TileCandidate& c, int in_channels,
                                             const TermMemory<P, Channels>& memory) {
  if (c.kind == CandidateKind::separable) {
    const int taps = c.kernel * c.kernel;
    if (c.vectorised) {
      detail::start_matrix<Channels, 4>(c.filter, taps, in_channels, taps, memory.filter, Channels);
    } else {
      detail::start_matrix<Channels, 1>(c.filter, taps, in_channels, taps, memory.filter, Channels);
    }
  }
  cp_async_commit();
}

/// Likewise of the pointwise weights; finish_pointwise() follows the wait, before the barrier.
template <Product P, int Channels>
__device__ __forceinline__ void start_pointwise(const TileCandidate& c, int in_channels,
                                                const TermMemory<P, Channels>& memory) {
  if (c.pointwise != nullptr) {
    float* to;
    int pitch;
    if constexpr (P == Product::bf16) {
      to = memory.staging;
      pitch = Channels;
    } else {
      to = memory.pointwise;
      pitch = operand_pitch<P>(Channels);
    }
    if (c.vectorised) {
      detail::start_matrix<Channels, 4>(c.pointwise, c.channels, in_channels, Channels, to, pitch);
    } else {
      detail::start_matrix<Channels, 1>(c.pointwise, c.channels, in_channels, Channels, to, pitch);
    }
  }
  cp_async_commit();
}

/// Rounds to bf16 what this thread copied.
template <Product P, int Channels>
__device__ __forceinline__ void finish_pointwise(const TileCandidate& c, const TermMemory<P, Channels>& memory) {
  if constexpr (P == Product::bf16) {
    if (c.pointwise == nullptr) return;
    constexpr int pitch = operand_pitch<P>(Channels);
    if (c.vectorised) {
      detail::for_each_vector<Channels, 4>(Channels, [&](int row, int column) {
        store(memory.pointwise + row * pitch + column, load<4>(memory.staging + row * Channels + column));
      });
    } else {
      detail::for_each_vector<Channels, 1>(Channels, [&](int row, int column) {
        store_operand(memory.pointwise + row * pitch + column, memory.staging[row * Channels + column]);
      });
    }
  }
}

namespace detail {

/// relu of the source's pixels (stride y + offset, stride x + offset).
template <Product P, int Channels>
__device__ __forceinline__ void subsample(const Operand<P>* tile, const Region& region, int stride, int first,
                                          const Strip<Channels>& strip, StripSums& d) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = strip.row_of(r) * stride + first;
      const int column = (strip.column + j) * stride + first;
      const Vec<2> value = load<2>(tile + (row * region.columns + column) * operand_pitch<P>(Channels) + strip.channel);
      d[r][j][0] = fmaxf(value.lane[0], 0.0F);
      d[r][j][1] = fmaxf(value.lane[1], 0.0F);
    }
  }
}

/// Fragments of a tile of the source itself.
template <Product P, int Channels>
__device__ __forceinline__ void read_region(const Operand<P>* tile, const Region& region, int first,
                                            TileFragments<Channels>& y) {
  using Fragments = TileFragments<Channels>;
#pragma unroll
  for (int i = 0; i < Fragments::count; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = Fragments::pixel(i, half);
      const int row = pixel / Tile<Channels>::width + first;
      const int column = pixel % Tile<Channels>::width + first;
      const Vec<2> value =
          load<2>(tile + (row * region.columns + column) * operand_pitch<P>(Channels) + Fragments::channel(i));
      y.value[i][2 * half] = value.lane[0];
      y.value[i][2 * half + 1] = value.lane[1];
    }
  }
}

}  // namespace detail

/// First half of a candidate's output on the tile: what slides over the source's region, to memory.d; an identity's
/// output already. All threads call it; its pointwise weights may still be under way.
template <Product P, int Channels>
__device__ __forceinline__ void slide_candidate(const TileSource& s, const TileCandidate& c, const Region& region,
                                                const TermMemory<P, Channels>& memory, TileFragments<Channels>& y) {
  const Window window{c.kernel, c.dilation, s.stride, s.before - c.padding};
  const bool separable = c.kind == CandidateKind::separable;
  const Strip<Channels> strip(separable ? spacing_for(c.dilation) : 1);
  StripSums d = {};
  switch (c.kind) {
    case CandidateKind::separable:
      correlate<P, Channels>(memory.region, region.columns, window, memory.filter, strip, d);
      break;
    case CandidateKind::max_pool:
      max_pool<P, Channels>(memory.region, region, s.height, s.width, window, strip, d);
      break;
    case CandidateKind::avg_pool:
      avg_pool<P, Channels>(memory.region, region, s.height, s.width, window, strip, d);
      break;
    case CandidateKind::factorised_reduce:
      // The first of the two convolutions goes through its product here, so that one tile d is enough.
      detail::subsample<P, Channels>(memory.region, region, s.stride, s.before, strip, d);
      store_strip<P, Channels>(strip, d, memory.d);
      cp_async_wait<0>();
      finish_pointwise<P, Channels>(c, memory);
      __syncthreads();
      y.template multiply<P>(memory.d, memory.pointwise);
      __syncthreads();
      detail::subsample<P, Channels>(memory.region, region, s.stride, s.before + 1, strip, d);
      break;
    case CandidateKind::identity:
      detail::read_region<P, Channels>(memory.region, region, s.before, y);
      return;
  }
  store_strip<P, Channels>(strip, d, memory.d);
}

/// Second half, after a barrier; the region is no longer needed.
template <Product P, int Channels>
__device__ __forceinline__ void finish_candidate(const TileCandidate& c, const TermMemory<P, Channels>& memory,
                                                 TileFragments<Channels>& y) {
  using Fragments = TileFragments<Channels>;
  if (c.kind == CandidateKind::identity) return;
  if (c.kind == CandidateKind::max_pool || c.kind == CandidateKind::avg_pool) {
    Fragments::for_each([&](int i, int e, int pixel, int channel) {
      if (e % 2 == 1) return;
      const Vec<2> value = load<2>(memory.d + pixel * operand_pitch<P>(Channels) + channel);
      y.value[i][e] = value.lane[0];
      y.value[i][e + 1] = value.lane[1];
    });
    return;
  }
  if (c.kind == CandidateKind::factorised_reduce) {
    // Both products of all channels are formed; of the first, the first half of the channels is kept.
    Fragments second;
    second.template multiply<P>(memory.d, memory.pointwise);
    Fragments::for_each([&](int i, int e, int /*pixel*/, int channel) {
      if (channel >= c.channels / 2) y.value[i][e] = second.value[i][e];
    });
    return;
  }
  y.template multiply<P>(memory.d, memory.pointwise);
}

/// Computes the outputs of candidates [first, end) on a tile, in order. Candidates in a row with one source share its
/// region. All threads of the block call it; per candidate:
///
///   consume(k, y)  its output, as storage rounds it, 0 beyond the image
///   settle(k)      later, a barrier behind consume(k) of all threads and one before consume(k + 1) of any
template <Product P, int Channels, typename Settle, typename Consume>
__device__ __forceinline__ void compute_candidates(const TileSource* sources, const TileCandidate* candidates,
                                                   int first, int end, const TilePosition<Channels>& position,
                                                   const TermMemory<P, Channels>& memory, Settle&& settle,
                                                   Consume&& consume) {
  using Fragments = TileFragments<Channels>;
  if (first >= end) return;
  const auto start_source = [&](const TileSource& s) {
    load_region<P, Channels>(image_of<P>(s, position.image), position.region(s), memory.region);
  };
  start_source(sources[candidates[first].source]);
  start_filter<P, Channels>(candidates[first], sources[candidates[first].source].channels, memory);
  bool fresh = true;
#pragma unroll 1
  for (int k = first; k < end; ++k) {
    const TileCandidate& c = candidates[k];
    const TileSource& s = sources[c.source];
    const Region region = position.region(s);
    cp_async_wait<0>();
    __syncthreads();  // region and filter are there; d and the pointwise weights are free
    if (fresh && s.normalisation != nullptr) {
      normalise_region<P, Channels>(image_of<P>(s, position.image), region, s.normalisation, memory.region);
      __syncthreads();
    }
    start_pointwise<P, Channels>(c, s.channels, memory);
    if (k > first) settle(k - 1);
    Fragments y;
    slide_candidate<P, Channels>(s, c, region, memory, y);
    cp_async_wait<0>();
    finish_pointwise<P, Channels>(c, memory);
    __syncthreads();  // d and the pointwise weights are there; region and filter are free
    fresh = false;
    if (k + 1 < end) {
      const TileCandidate& next = candidates[k + 1];
      fresh = next.source != c.source;
      if (fresh) start_source(sources[next.source]);
      start_filter<P, Channels>(next, sources[next.source].channels, memory);
    }
    finish_candidate<P, Channels>(c, memory, y);
    Fragments::for_each([&](int i, int e, int pixel, int /*channel*/) {
      const float stored = as_stored(y.value[i][e], static_cast<const Operand<P>*>(nullptr));
      y.value[i][e] = position.contains(pixel) ? stored : 0.0F;
    });
    consume(k, y);
  }
  __syncthreads();
  settle(end - 1);
}

// --- launchers ------------------------------------------------------------------------------------------------------

/// Most dynamic shared memory of a block (sm_90; of sm_80: 163 KiB).
inline constexpr std::size_t max_shared_bytes = 227 * 1024;

/// Channels of the tiles for tensors of up to `channels`.
[[nodiscard]] inline int tile_channels(std::int64_t channels) {
  return channels <= 16 ? 16 : channels <= 32 ? 32 : 64;
}

/// Calls body.template operator()<P, Channels>().
template <typename Body>
decltype(auto) with_tile(Product product, int channels, Body&& body) {
  const auto with_channels = [&]<Product P>() -> decltype(auto) {
    switch (channels) {
      case 16:
        return body.template operator()<P, 16>();
      case 32:
        return body.template operator()<P, 32>();
      default:
        return body.template operator()<P, 64>();
    }
  };
  switch (product) {
    case Product::tf32x3:
      return with_channels.template operator()<Product::tf32x3>();
    case Product::tf32:
      return with_channels.template operator()<Product::tf32>();
    default:
      return with_channels.template operator()<Product::bf16>();
  }
}

[[nodiscard]] inline TileGrid tile_grid(int channels, std::int64_t images, std::int64_t height, std::int64_t width) {
  const int tile_width = channels == 64 ? Tile<64>::width : Tile<16>::width;
  const int tile_height = tile_elements / channels / tile_width;
  TileGrid grid{static_cast<int>(height), static_cast<int>(width), 0, 0, 0};
  grid.across = (grid.width + tile_width - 1) / tile_width;
  grid.per_image = grid.across * ((grid.height + tile_height - 1) / tile_height);
  grid.tiles = grid.per_image * static_cast<int>(images);
  return grid;
}

/// How far a candidate reaches around the pixel that its output lies on.
struct Margin {
  int before = 0;
  int after = 0;
  void widen(const Margin& other) {
    before = std::max(before, other.before);
    after = std::max(after, other.after);
  }
};

[[nodiscard]] inline Margin margin_of(const SeparableWindow& w) {
  return {w.padding, (w.kernel - 1) * w.dilation - w.padding};
}
[[nodiscard]] inline Margin margin_of(const Candidate& c) {
  switch (c.kind) {
    case CandidateKind::identity:
      return {};
    case CandidateKind::factorised_reduce:
      return {0, 1};
    default:
      return margin_of(c.window);
  }
}

/// Pixels of the region of a tile.
[[nodiscard]] inline int region_pixels(int channels, int stride, const Margin& margin) {
  const int width = channels == 64 ? Tile<64>::width : Tile<16>::width;
  const int height = tile_elements / channels / width;
  const int around = margin.before + margin.after + 1;
  return ((height - 1) * stride + around) * ((width - 1) * stride + around);
}

/// Extent of an axis of a candidate's output.
[[nodiscard]] inline std::int64_t output_extent(const Candidate& c, int stride, std::int64_t extent) {
  switch (c.kind) {
    case CandidateKind::identity:
      return extent;
    case CandidateKind::factorised_reduce:
      return (extent + 1) / 2;
    default:
      break;
  }
  return (extent + 2 * c.window.padding - (c.window.kernel - 1) * c.window.dilation - 1) / stride + 1;
}

[[nodiscard]] inline std::int64_t output_channels(const Candidate& c, const BundleSource& source) {
  return c.pointwise ? c.pointwise.shape[0] : source.x.channels();
}

[[nodiscard]] inline int taps_of(const Candidate& c) {
  return c.kind == CandidateKind::separable ? c.window.kernel * c.window.kernel : 0;
}

[[nodiscard]] inline TileSource tile_source(const BundleSource& source, int stride) {
  const TensorView& x = source.x;
  const auto vector = static_cast<std::int64_t>(16 / size_of(x.dtype));
  return {x.data,
          source.normalisation.f32(),
          x.pixel_stride,
          static_cast<int>(x.shape[1]),
          static_cast<int>(x.shape[2]),
          static_cast<int>(x.channels()),
          stride,
          0,
          0,
          aligned16(x.data) && x.pixel_stride % vector == 0 && x.channels() % vector == 0};
}

[[nodiscard]] inline TileCandidate tile_candidate(const Candidate& c, const BundleSource& source, int number) {
  return {c.filter.f32(),
          c.pointwise.f32(),
          number,
          static_cast<int>(output_channels(c, source)),
          c.window.kernel,
          c.window.dilation,
          c.window.padding,
          c.kind,
          aligned16(c.filter.data) && aligned16(c.pointwise.data) && source.x.channels() % 4 == 0};
}

[[nodiscard]] inline TileTensor tile_tensor(const TensorView& t) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(t.data) % (2 * size_of(t.dtype)) == 0;
  return {t.data, t.pixel_stride, static_cast<int>(t.channels()),
          aligned && t.pixel_stride % 2 == 0 && t.channels() % 2 == 0};
}

/// Parts a launch's second axis is cut into, so that it has about two blocks for each multiprocessor of an H100: how
/// many of `items` each part takes, at most.
[[nodiscard]] inline int items_per_group(int tiles, std::span<const int> items) {
  constexpr int wanted = 2 * 132;
  int most = 1;
  for (const int n : items)
    most = std::max(most, n);
  for (int per = most; per > 1; --per) {
    int groups = 0;
    for (const int n : items)
      groups += (n + per - 1) / per;
    if (groups * tiles >= wanted) return per;
  }
  return 1;
}

}  // namespace dnas::kernels::cuda
