#pragma once

#include "core/add_blocks.cuh"
#include "core/shared_memory.cuh"
#include "ops/bundle_pool.cuh"
#include "ops/bundle_tile.cuh"
#include "ops/state_bundle_cuda.hpp"

#include <algorithm>

// What the kernels of a state's forward pass and of a node share: how work is cut into tiles, candidates as kernel
// parameters, and the output of a candidate on a tile.
namespace dnas::kernels::cuda {

// --- kernel parameters ----------------------------------------------------------------------------------------------

/// Tiles of all images of an output. What a block finds out of its tile is merged with that of the others in groups
/// (add_blocks.cuh).
struct TileGrid {
  int height, width;  // of an image
  int across;         // tiles side by side
  int per_image;
  int tiles;
  int together;  // tiles of a group

  [[nodiscard]] __host__ __device__ constexpr int counters() const {
    return together == 0 ? 0 : 1 + (tiles + together - 1) / together;
  }
};

/// Pixels of all tiles before one.
template <int Channels>
[[nodiscard]] __device__ __forceinline__ std::int64_t pixels_before(const TileGrid& grid, int tile) {
  const int of_image = tile % grid.per_image;
  const int row = of_image / grid.across * Tile<Channels>::height;
  const int column = of_image % grid.across * Tile<Channels>::width;
  const int rows = min(grid.height - row, Tile<Channels>::height);
  return (std::int64_t{tile / grid.per_image} * grid.height + row) * grid.width + rows * column;
}

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

/// A candidate, or one of the two convolutions of a factorised reduce: channels [first, end) of the output, 0 in the
/// others. A factorised reduce of the tile is cheap beside the barriers and code that it would take in one piece.
struct TileCandidate {
  const float* filter;
  const float* pointwise;
  int source;  // its number
  int first, end;
  int kernel, dilation, padding;  // of factorised_reduce 1, 1, and 0 or -1: the pixel one further down and right
  CandidateKind kind;
  bool vectorised;  // weights may be copied 16 bytes at a time
};

/// Channels [first, end) of a tensor in fragments: an output, a node or its gradient.
struct TileTensor {
  void* data;
  std::int64_t pixel_stride;
  int first, end;
  bool paired;  // two channels may be read and written at once
};

// --- a block's tile -------------------------------------------------------------------------------------------------

/// Which outputs a tile covers: `rows` x `columns` of its pixels, from (row, column) of `image` on.
template <int Channels>
struct TilePosition {
  int image;
  int row, column;
  int rows, columns;
  unsigned inside = 0;  // bit 2 i + half: whether a thread's pixel (i, half) of TileFragments lies inside

  __device__ __forceinline__ TilePosition(const TileGrid& grid, int tile)
      : image(tile / grid.per_image),
        row(tile % grid.per_image / grid.across * Tile<Channels>::height),
        column(tile % grid.per_image % grid.across * Tile<Channels>::width),
        rows(min(grid.height - row, Tile<Channels>::height)),
        columns(min(grid.width - column, Tile<Channels>::width)) {}

  /// Fills in `inside`.
  __device__ __forceinline__ void place_thread() {
    using Fragments = TileFragments<Channels>;
    for (int i = 0; i < 2 * Fragments::count; ++i) {
      const int pixel = Fragments::pixel(i / 2, i % 2);
      const bool within = pixel / Tile<Channels>::width < rows && pixel % Tile<Channels>::width < columns;
      inside |= within ? 1U << i : 0U;
    }
  }
  [[nodiscard]] __device__ __forceinline__ bool holds(int i, int half) const {
    return (inside >> (2 * i + half) & 1U) != 0;
  }

  [[nodiscard]] __device__ __forceinline__ int pixels() const { return rows * columns; }
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

/// Calls pair(i, half, element) where both channels that this thread holds of a pixel inside exist and may be accessed
/// at once, one(i, e, element) for others that exist; `element` counts from the tensor's first.
template <int Channels, typename Pair, typename One>
__device__ __forceinline__ void for_each_element(const TileTensor& t, const TileGrid& grid,
                                                 const TilePosition<Channels>& position, Pair&& pair, One&& one) {
  using Fragments = TileFragments<Channels>;
  constexpr int width = Tile<Channels>::width;
  // The pixels of a thread lie at fixed distances from its first, as do its channels.
  const int pixel = opaque(Fragments::pixel(0, 0));
  const int first_channel = opaque(Fragments::channel(0));
  const std::int64_t first = ((std::int64_t{position.image} * grid.height + position.row + pixel / width) * grid.width +
                              position.column + pixel % width) *
                                 t.pixel_stride +
                             Fragments::channel(0);
  const auto pixel_stride = static_cast<int>(t.pixel_stride);
#pragma unroll
  for (int i = 0; i < Fragments::count; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (!position.holds(i, half)) continue;
      const int above = i / Fragments::across * 16 + half * 8;  // pixels
      const int channel = first_channel + i % Fragments::across * 8;
      const std::int64_t element =
          first + (above / width * grid.width + above % width) * pixel_stride + i % Fragments::across * 8;
      if (t.paired) {
        if (channel >= t.first && channel < t.end) pair(i, half, element);
      } else {
        if (channel >= t.first && channel < t.end) one(i, 2 * half, element);
        if (channel + 1 >= t.first && channel + 1 < t.end) one(i, 2 * half + 1, element + 1);
      }
    }
  }
}

/// The tensor's elements at the positions of a thread's fragments, 0 elsewhere.
template <Product P, int Channels>
__device__ __forceinline__ void read_fragments(const TileTensor& t, const TileGrid& grid,
                                               const TilePosition<Channels>& position, TileFragments<Channels>& f) {
  f = {};
  const auto* const data = static_cast<const Operand<P>*>(t.data);
  for_each_element<Channels>(
      t, grid, position,
      [&](int i, int half, std::int64_t element) {
        const Vec<2> value = load<2>(data + element);
        f.value[i][2 * half] = value.lane[0];
        f.value[i][2 * half + 1] = value.lane[1];
      },
      [&](int i, int e, std::int64_t element) { f.value[i][e] = load<1>(data + element).lane[0]; });
}

template <Product P, int Channels>
__device__ __forceinline__ void write_fragments(const TileTensor& t, const TileGrid& grid,
                                                const TilePosition<Channels>& position,
                                                const TileFragments<Channels>& f) {
  auto* const data = static_cast<Operand<P>*>(t.data);
  for_each_element<Channels>(
      t, grid, position,
      [&](int i, int half, std::int64_t element) {
        store(data + element, Vec<2>{{f.value[i][2 * half], f.value[i][2 * half + 1]}});
      },
      [&](int i, int e, std::int64_t element) { store_operand(data + element, f.value[i][e]); });
}

// --- shared memory --------------------------------------------------------------------------------------------------

/// What the outputs of candidates are computed in. Weighted: candidates with weights are among them, not only pools and
/// identities.
template <Product P, int Channels, bool Weighted>
struct TermMemory {
  Operand<P>* region;               // of the source
  Operand<P>* d;                    // [pixels, pitch]: what goes into a product, or a pooled tile
  Operand<P>* pointwise = nullptr;  // [Channels, pitch]
  float* staging = nullptr;         // [Channels, Channels]: pointwise weights before they are rounded; bf16 only
  float* filter = nullptr;          // [taps, Channels]

  __device__ __forceinline__ TermMemory(SharedMemory& memory, int region_pixels, int taps) {
    constexpr int pitch = operand_pitch<P>(Channels);
    region = memory.take<Operand<P>>(region_pixels * pitch);
    d = memory.take<Operand<P>>(Tile<Channels>::pixels * pitch);
    if constexpr (Weighted) {
      pointwise = memory.take<Operand<P>>(Channels * pitch);
      if constexpr (P == Product::bf16) staging = memory.take<float>(Channels * Channels);
      filter = memory.take<float>(taps * Channels);
    }
  }
};

/// Bytes of a TermMemory.
template <Product P, int Channels, bool Weighted>
[[nodiscard]] std::size_t term_memory_bytes(int region_pixels, int taps) {
  constexpr auto pitch = static_cast<std::size_t>(operand_pitch<P>(Channels));
  constexpr auto channels = static_cast<std::size_t>(Channels);
  const std::size_t tiles = shared_bytes<Operand<P>>(static_cast<std::size_t>(region_pixels) * pitch) +
                            shared_bytes<Operand<P>>(static_cast<std::size_t>(Tile<Channels>::pixels) * pitch);
  if (!Weighted) return tiles;
  return tiles + shared_bytes<Operand<P>>(channels * pitch) +
         (P == Product::bf16 ? shared_bytes<float>(channels * channels) : 0) +
         shared_bytes<float>(static_cast<std::size_t>(taps) * channels);
}

/// Blocks on a multiprocessor that the registers of a kernel leave room for: as many as shared memory does where
/// windows reach four pixels far.
template <Product P, int Channels>
inline constexpr int blocks_wanted = Channels == 16 || (Channels == 32 && P == Product::bf16) ? 3 : 2;

// --- the output of a candidate --------------------------------------------------------------------------------------

namespace detail {

/// Calls body(row, column) for the vectors of Width floats of a [rows, Channels] matrix that are this thread's.
template <int Channels, int Width, typename Body>
__device__ __forceinline__ void for_each_vector(int rows, Body&& body) {
  constexpr int across = Channels / Width;
#pragma unroll 2
  for (int i = this_thread(); i < rows * across; i += tile_threads)
    body(i / across, i % across * Width);
}

/// Starts the copy of rows [first, end) of a matrix with `columns` columns to the same rows of [rows, Channels], rows
/// `pitch` apart, zeros elsewhere.
template <int Channels, int Width>
__device__ __forceinline__ void start_matrix(const float* from, int first, int end, int columns, int rows, float* to,
                                             int pitch) {
  for_each_vector<Channels, Width>(rows, [&](int row, int column) {
    const bool exists = row >= first && row < end && column < columns;
    cp_async<Width * 4>(to + row * pitch + column, exists ? from + row * columns + column : from,
                        exists ? Width * 4 : 0);
  });
}

}  // namespace detail

/// Starts the copy of a candidate's depthwise filter. As with all weights below, the barrier that follows the wait
/// completes it.
template <Product P, int Channels>
__device__ __forceinline__ void start_filter(const TileCandidate& c, int in_channels,
                                             const TermMemory<P, Channels, true>& memory) {
  if (c.kind == CandidateKind::separable) {
    const int taps = c.kernel * c.kernel;
    if (c.vectorised) {
      detail::start_matrix<Channels, 4>(c.filter, 0, taps, in_channels, taps, memory.filter, Channels);
    } else {
      detail::start_matrix<Channels, 1>(c.filter, 0, taps, in_channels, taps, memory.filter, Channels);
    }
  }
  cp_async_commit();
}

/// Likewise of the pointwise weights; finish_pointwise() follows the wait, before the barrier.
template <Product P, int Channels>
__device__ __forceinline__ void start_pointwise(const TileCandidate& c, int in_channels,
                                                const TermMemory<P, Channels, true>& memory) {
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
      detail::start_matrix<Channels, 4>(c.pointwise, c.first, c.end, in_channels, Channels, to, pitch);
    } else {
      detail::start_matrix<Channels, 1>(c.pointwise, c.first, c.end, in_channels, Channels, to, pitch);
    }
  }
  cp_async_commit();
}

/// Rounds to bf16 what this thread copied.
template <Product P, int Channels>
__device__ __forceinline__ void finish_pointwise(const TileCandidate& c, const TermMemory<P, Channels, true>& memory) {
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

/// First half of a candidate's output on the tile: what slides over the source's region, to memory.d. All threads call
/// it; the pointwise weights may still be under way.
template <Product P, int Channels, bool Weighted>
__device__ __forceinline__ void slide_candidate(const TileSource& s, const TileCandidate& c, const Region& region,
                                                const TermMemory<P, Channels, Weighted>& memory) {
  const Window window{c.kernel, c.dilation, s.stride, s.before - c.padding};
  const Strip<Channels> strip(c.kind == CandidateKind::separable ? spacing_for(c.dilation) : 1);
  StripSums d = {};
  switch (c.kind) {
    case CandidateKind::separable:
      if constexpr (Weighted) {
        correlate<P, Channels>(memory.region, region.columns, window, memory.filter, strip, d);
      }
      break;
    case CandidateKind::max_pool:
      max_pool<P, Channels>(memory.region, region, s.height, s.width, window, strip, d);
      break;
    case CandidateKind::avg_pool:
      avg_pool<P, Channels>(memory.region, region, s.height, s.width, window, strip, d);
      break;
    case CandidateKind::identity:
    case CandidateKind::factorised_reduce:
      copy_strip<P, Channels>(memory.region, region.columns, window, c.kind == CandidateKind::factorised_reduce, strip,
                              d);
      break;
  }
  store_strip<P, Channels>(strip, d, memory.d);
}

/// Second half, after a barrier; the region is no longer needed.
template <Product P, int Channels, bool Weighted>
__device__ __forceinline__ void finish_candidate(const TileCandidate& c,
                                                 const TermMemory<P, Channels, Weighted>& memory,
                                                 TileFragments<Channels>& y) {
  if (Weighted && c.pointwise != nullptr) {
    y.template multiply<P>(memory.d, memory.pointwise);
  } else {
    TileFragments<Channels>::for_each([&](int i, int e, int pixel, int channel) {
      if (e % 2 == 1) return;
      const Vec<2> value = load<2>(memory.d + pixel * operand_pitch<P>(Channels) + channel);
      y.value[i][e] = value.lane[0];
      y.value[i][e + 1] = value.lane[1];
    });
  }
}

/// Computes the outputs of candidates [first, end) on a tile, in order. Candidates in a row with one source share its
/// region. All threads of the block call it; per candidate:
///
///   consume(k, y)  its output, as storage rounds it, 0 beyond the image
///   settle(k)      later, a barrier behind consume(k) of all threads and one before consume(k + 1) of any
template <Product P, int Channels, bool Weighted, typename Settle, typename Consume>
__device__ __forceinline__ void compute_candidates(const TileSource* sources, const TileCandidate* candidates,
                                                   int first, int end, const TilePosition<Channels>& position,
                                                   const TermMemory<P, Channels, Weighted>& memory, Settle&& settle,
                                                   Consume&& consume) {
  using Fragments = TileFragments<Channels>;
  if (first >= end) return;
  const auto start_source = [&](const TileSource& s) {
    load_region<P, Channels>(image_of<P>(s, position.image), position.region(s), memory.region);
  };
  start_source(sources[candidates[first].source]);
  if constexpr (Weighted) {
    start_filter<P, Channels>(candidates[first], sources[candidates[first].source].channels, memory);
  }
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
    if constexpr (Weighted) start_pointwise<P, Channels>(c, s.channels, memory);
    if (k > first) settle(k - 1);
    slide_candidate<P, Channels, Weighted>(s, c, region, memory);
    if constexpr (Weighted) {
      cp_async_wait<0>();
      finish_pointwise<P, Channels>(c, memory);
    }
    __syncthreads();  // d and the pointwise weights are there; region and filter are free
    fresh = false;
    if (k + 1 < end) {
      const TileCandidate& next = candidates[k + 1];
      fresh = next.source != c.source;
      if (fresh) start_source(sources[next.source]);
      if constexpr (Weighted) start_filter<P, Channels>(next, sources[next.source].channels, memory);
    }
    Fragments y;
    finish_candidate<P, Channels, Weighted>(c, memory, y);
    Fragments::for_each([&](int i, int e, int /*pixel*/, int /*channel*/) {
      const float stored = as_stored(y.value[i][e], static_cast<const Operand<P>*>(nullptr));
      y.value[i][e] = position.holds(i, e / 2) ? stored : 0.0F;
    });
    consume(k, y);
  }
  __syncthreads();
  settle(end - 1);
}

// --- launchers ------------------------------------------------------------------------------------------------------

/// Most bytes that a kernel wants beside a TermMemory: two numbers per channel of as many terms as a node may have.
[[nodiscard]] inline std::size_t bytes_beside(int channels) {
  return shared_bytes<float>(2 * max_launch_candidates * static_cast<std::size_t>(channels));
}

/// Channels of the tiles for tensors of up to `channels`.
[[nodiscard]] inline int tile_channels(std::int64_t channels) {
  return channels <= 16 ? 16 : channels <= 32 ? 32 : 64;
}

[[nodiscard]] inline bool has_weights(const Candidate& c) {
  return c.kind == CandidateKind::separable || c.kind == CandidateKind::factorised_reduce;
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
  TileGrid grid{static_cast<int>(height), static_cast<int>(width), 0, 0, 0, 0};
  grid.across = (grid.width + tile_width - 1) / tile_width;
  grid.per_image = grid.across * ((grid.height + tile_height - 1) / tile_height);
  grid.tiles = grid.per_image * static_cast<int>(images);
  grid.together = add_group(grid.tiles);
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

/// Parts that a candidate is computed in: of a factorised reduce each of its convolutions.
[[nodiscard]] inline int parts_of(const Candidate& c) {
  return c.kind == CandidateKind::factorised_reduce ? 2 : 1;
}

[[nodiscard]] inline TileCandidate tile_candidate(const Candidate& c, int part, const BundleSource& source,
                                                  int source_number) {
  TileCandidate t{c.filter.f32(),
                  c.pointwise.f32(),
                  source_number,
                  0,
                  static_cast<int>(output_channels(c, source)),
                  c.window.kernel,
                  c.window.dilation,
                  c.window.padding,
                  c.kind,
                  aligned16(c.filter.data) && aligned16(c.pointwise.data) && source.x.channels() % 4 == 0};
  if (c.kind == CandidateKind::identity) t.padding = 0;
  if (c.kind == CandidateKind::factorised_reduce) {
    t.kernel = 1;
    t.dilation = 1;
    t.padding = -part;
    (part == 0 ? t.end : t.first) = t.end / 2;
  }
  return t;
}

[[nodiscard]] inline TileTensor tile_tensor(const TensorView& t, int first, int end) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(t.data) % (2 * size_of(t.dtype)) == 0;
  return {t.data, t.pixel_stride, first, end, aligned && t.pixel_stride % 2 == 0 && first % 2 == 0 && end % 2 == 0};
}

/// Blocks that a launch should have, about two for each of the 132 multiprocessors of an H100: a few idle slots cost
/// less than loading every region once more.
inline constexpr int launch_blocks = 256;

/// Parts a launch's second axis is cut into, so that it has launch_blocks: how many of `items` each part takes, at
/// most.
[[nodiscard]] inline int items_per_group(int tiles, std::span<const int> items) {
  int most = 1;
  for (const int n : items)
    most = std::max(most, n);
  for (int per = most; per > 1; --per) {
    int groups = 0;
    for (const int n : items)
      groups += (n + per - 1) / per;
    if (groups * tiles >= launch_blocks) return per;
  }
  return 1;
}

}  // namespace dnas::kernels::cuda
