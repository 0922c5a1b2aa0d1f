#include "ops/state_bundle_backward_launch.hpp"
#include "ops/state_bundle_cuda.hpp"

#include "core/add_blocks.cuh"
#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "ops/bundle_backward_tile.cuh"
#include "ops/bundle_pool_backward.cuh"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace dnas::kernels::cuda {
namespace {

constexpr std::size_t max_shared_bytes = 227 * 1024;  // of a block, sm_90
// Blocks of a launch, two for each multiprocessor of an H100, where each leaves partial gradients of all weights; more
// where it leaves none, or two sums per channel.
constexpr std::int64_t max_weight_blocks = 264;
constexpr std::int64_t max_data_blocks = 2112;

// --- what the kernel is given ---------------------------------------------------------------------------------------

struct TensorArgument {
  void* data;
  std::int64_t pixel_stride;
  int channels;
  bool vectorised;
};

struct CandidateArgument {
  TensorArgument y;
  TensorArgument g;
  const float* gradient;
  const float* filter;
  const float* pointwise;
  float* dfilter;
  float* dpointwise;
  int kernel, dilation, padding;
  int filter_sums;     // position of dfilter among a block's partial sums
  int pointwise_sums;  // likewise dpointwise
  CandidateKind kind;
};

/// Candidates of a state are sorted: separable, factorised, pools (equal ones together), identities.
struct StateArgument {
  TensorArgument x;
  TensorArgument dx;
  const float* normalisation;
  float* gradient;        // of the normalisation
  std::int64_t partials;  // position of the state's partial sums in the workspace
  int sums;               // position of the two sums of the normalisation among a block's partial sums
  int entries;            // partial sums of a block
  std::int16_t first;     // candidate, and ends of the kinds
  std::int16_t separable_end, factorised_end, pool_end, end;
  bool accumulate;
};

/// Shapes that all states share. Regions begin `before` pixels before a tile in both directions.
struct Geometry {
  int height, width, channels;
  int out_height, out_width;
  std::int64_t pixels;  // of the batch
  int stride;
  int tiles_down, tiles_across, tiles;              // of the state
  int out_tiles_down, out_tiles_across, out_tiles;  // of the output
  int tiles_per_block;
  int before, rows, columns;                 // the outputs that touch a tile of the state, of all separable candidates
  int pool_before, pool_rows, pool_columns;  // the state's pixels that those of all pools see
  int seen_before, seen_rows, seen_columns;  // the state's pixels that a tile of outputs sees
  // Shared memory: bytes of `arena`, places in it, and floats of the other arrays.
  int arena, z_at, products_at, pool_at, pool_gradients_at, winners_at, outputs_at;
  int gradient_rows, filter, sums;
};

struct Launch {
  Geometry geometry;
  unsigned* counters;  // add_counters() for each state
  float* partials;
  StateArgument states[max_launch_candidates];
  CandidateArgument candidates[max_launch_candidates];
};

// --- device helpers -------------------------------------------------------------------------------------------------

template <typename T>
__device__ __forceinline__ Image<T> image_of(const TensorArgument& t, int image, int height, int width) {
  return {static_cast<T*>(t.data) + std::int64_t{image} * height * width * t.pixel_stride,
          t.pixel_stride,
          height,
          width,
          t.channels,
          t.vectorised};
}

/// A block's shared memory. What lies in the arena depends on what the block is doing:
///
///   dx | z | dd                                       separable candidates, factorised reductions
///   dx | state with halo | gradients | winners        pools
///   state with halo | d and dy                        gradients of pointwise weights
struct SharedArrays {
  float* arena;
  float* weights;        // pointwise
  float* gradient_rows;  // of one candidate, or of all that share a pool
  float* filter;
  float* sums;

  template <typename T>
  [[nodiscard]] __device__ __forceinline__ T* at(int bytes) const {
    return reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(arena) + bytes);
  }
};

/// A strip in shared memory, where it waits while its thread needs the registers for something else: [4, threads] of
/// four floats.
__device__ __forceinline__ void park(const StripSums& strip, float* to) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float(&pixel)[4][2] = strip[i / 2];
    const int j = i % 2 * 2;
    store(to + (i * tile_threads + this_thread()) * 4,
          Vec<4>{{pixel[j][0], pixel[j][1], pixel[j + 1][0], pixel[j + 1][1]}});
  }
}
__device__ __forceinline__ void unpark(const float* from, StripSums& strip) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Vec<4> value = load<4>(from + (i * tile_threads + this_thread()) * 4);
    float(&pixel)[4][2] = strip[i / 2];
    const int j = i % 2 * 2;
    pixel[j][0] = value.lane[0];
    pixel[j][1] = value.lane[1];
    pixel[j + 1][0] = value.lane[2];
    pixel[j + 1][1] = value.lane[3];
  }
}

/// A tile of the state, or of the outputs.
struct TileAt {
  int image, row, column;  // first pixel
};

__device__ __forceinline__ TileAt tile_at(int index, int down, int across, int height, int width) {
  return {index / (down * across), index / across % down * height, index % across * width};
}

/// A tile of the state and the strip of this thread. Every phase finds its own: addresses that phases share would be
/// kept in registers that their loops lack.
template <int Channels>
struct Place {
  TileAt tile;
  Strip<Channels> strip;

  __device__ __forceinline__ Place(const Geometry& geometry, int index)
      : tile(tile_at(opaque(index), geometry.tiles_down, geometry.tiles_across, Tile<Channels>::height,
                     Tile<Channels>::width)),
        strip(gather_spacing(geometry.stride)) {}
};

/// Whether a strip's pixel (i, j) and its first channel exist.
template <int Channels, typename T>
__device__ __forceinline__ bool exists(const Image<T>& image, const TileAt& tile, const Strip<Channels>& strip, int i,
                                       int j) {
  return tile.row + strip.row_of(i) < image.height && tile.column + strip.column + j < image.width &&
         strip.channel < image.channels;
}

/// A strip's values, 0 where the image or its channels end.
template <int Channels, typename T>
__device__ __forceinline__ void load_strip(const Image<const T>& image, const TileAt& tile,
                                           const Strip<Channels>& strip, StripSums& value) {
  const int stride = static_cast<int>(image.pixel_stride);
  const bool both = strip.channel + 1 < image.channels;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const T* const row = image.at(tile.row + strip.row_of(i), tile.column + strip.column) + strip.channel;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      Vec<2> pair{};
      if (exists(image, tile, strip, i, j)) {
        if (image.vectorised) {
          pair = load<2>(row + j * stride);
        } else {
          pair.lane[0] = load<1>(row + j * stride).lane[0];
          if (both) pair.lane[1] = load<1>(row + j * stride + 1).lane[0];
        }
      }
      value[i][j][0] = pair.lane[0];
      value[i][j][1] = pair.lane[1];
    }
  }
}

/// The state s of a strip, 0 where the image ends.
template <Product P, int Channels>
__device__ __forceinline__ void load_state(const Launch& launch, const StateArgument& state, const TileAt& tile,
                                           const Strip<Channels>& strip, StripSums& s) {
  const auto x = image_of<const Operand<P>>(state.x, tile.image, launch.geometry.height, launch.geometry.width);
  load_strip(x, tile, strip, s);
  if (state.normalisation == nullptr) return;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (strip.channel + e >= x.channels) continue;
    const float mean = state.normalisation[strip.channel + e];
    const float rstd = state.normalisation[x.channels + strip.channel + e];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        s[i][j][e] = exists(x, tile, strip, i, j) ? (s[i][j][e] - mean) * rstd : 0.0F;
    }
  }
}

/// Outputs that see a tile's `extent` pixels from `first` on along one axis, [begin, end), inside the image.
struct Interval {
  int begin, end;
};
__device__ __forceinline__ Interval outputs_seeing(int first, int extent, int reach, int padding, int stride,
                                                   int out_extent) {
  const int low = first + padding - reach;
  const int high = first + extent - 1 + padding;
  const int begin = low <= 0 ? 0 : (low + stride - 1) / stride;
  const int end = high / stride + 1;
  return {begin, end < out_extent ? end : out_extent};
}

// --- gradient of the state ------------------------------------------------------------------------------------------

/// dz of all separable candidates, and the tile's part of dfilter.
template <Product P, int Channels, bool Weights>
__device__ __forceinline__ void add_separable(const Launch& launch, const StateArgument& state,
                                              const Place<Channels>& place, const SharedArrays& shared,
                                              float* partial) {
  const auto& [tile, strip] = place;
  const Geometry& geometry = launch.geometry;
  const int count = state.separable_end - state.first;
  if (count == 0) return;
  const CandidateArgument* const candidates = launch.candidates + state.first;
  if constexpr (Weights) {
    StripSums z;
    load_state<P>(launch, state, tile, strip, z);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        z[i][j][0] = fmaxf(z[i][j][0], 0.0F);
        z[i][j][1] = fmaxf(z[i][j][1], 0.0F);
      }
    }
    park(z, shared.at<float>(geometry.z_at));
  }
  Operand<P>* const dd = shared.at<Operand<P>>(geometry.products_at);
  const Region region{tile.row / geometry.stride - geometry.before, tile.column / geometry.stride - geometry.before,
                      geometry.rows, geometry.columns};
  clear_outside<P, Channels>(region, geometry.out_height, geometry.out_width, dd);
  const auto stage = [&](const CandidateArgument& c) {
    stage_weights<Channels>(c.pointwise, 0, c.g.channels, geometry.channels, shared.weights);
    stage_rows<Channels>(c.gradient, 4, c.g.channels, shared.gradient_rows);
    cp_async_commit();
  };
  stage(candidates[0]);
  cp_async_wait<0>();
  __syncthreads();
  for (int k = 0; k < count; ++k) {
    const CandidateArgument& c = candidates[k];
    const int taps = c.kernel * c.kernel;
    stage_rows<Channels>(c.filter, taps, geometry.channels, shared.filter);
    cp_async_commit();
    const int reach = (c.kernel - 1) * c.dilation;
    const Interval rows =
        outputs_seeing(tile.row, Tile<Channels>::height, reach, c.padding, geometry.stride, geometry.out_height);
    const Interval columns =
        outputs_seeing(tile.column, Tile<Channels>::width, reach, c.padding, geometry.stride, geometry.out_width);
    const Region part{rows.begin, columns.begin, rows.end - rows.begin, columns.end - columns.begin};
    if (part.rows > 0 && part.columns > 0) {
      form_products<P, Channels>(image_of<const Operand<P>>(c.g, tile.image, geometry.out_height, geometry.out_width),
                                 image_of<const Operand<P>>(c.y, tile.image, geometry.out_height, geometry.out_width),
                                 shared.gradient_rows, shared.weights, region, part, dd);
    }
    cp_async_wait<0>();
    __syncthreads();
    if (k + 1 < count) stage(candidates[k + 1]);  // while this one is gathered
    const Gathered<P> from{dd, geometry.columns, geometry.before, shared.filter, shared.sums};
    const Window window{c.kernel, c.dilation, geometry.stride, 0};
    StripSums z = {};
    StripSums dz;
    unpark(shared.arena, dz);
    if constexpr (Weights) {
      unpark(shared.at<float>(geometry.z_at), z);
      for (int begin = 0; begin < taps; begin += max_tap_batch) {
        const int end = begin + max_tap_batch < taps ? begin + max_tap_batch : taps;
        if (begin > 0) __syncthreads();  // the sums of the last batch have been read
        gather<P, Channels, true>(from, window, c.padding, begin, end, strip, z, dz);
        if (end == taps) park(dz, shared.arena);
        cp_async_wait<0>();
        __syncthreads();
        if (c.dfilter != nullptr) {
          add_warp_sums<Channels>(shared.sums, end - begin, geometry.channels,
                                  partial + c.filter_sums + begin * geometry.channels);
        }
      }
    } else {
      gather<P, Channels, false>(from, window, c.padding, 0, taps, strip, z, dz);
      park(dz, shared.arena);
      cp_async_wait<0>();
      __syncthreads();
    }
  }
  __syncthreads();  // the sums have been read
}

/// dz of all factorised reductions: pixels in even rows and columns belong to the first half of the channels, their
/// neighbours one further down and right to the second.
template <Product P, int Channels>
__device__ __forceinline__ void add_factorised(const Launch& launch, const StateArgument& state,
                                               const Place<Channels>& place, const SharedArrays& shared) {
  const auto& [tile, strip] = place;
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int width = Tile<Channels>::width / 2;
  constexpr int height = Tile<Channels>::height / 2;
  if (state.factorised_end == state.separable_end) return;
  const Geometry& geometry = launch.geometry;
  const Region region{tile.row / 2, tile.column / 2, height, width};
  Region part = region;
  part.rows = geometry.out_height - part.row < height ? geometry.out_height - part.row : height;
  part.columns = geometry.out_width - part.column < width ? geometry.out_width - part.column : width;
  Operand<P>* const dd = shared.at<Operand<P>>(geometry.products_at);
  for (int k = state.separable_end; k < state.factorised_end; ++k) {
    const CandidateArgument& c = launch.candidates[k];
    const int out = c.g.channels;
    for (int half = 0; half < 2; ++half) {
      // Rows of the other half count as missing.
      const int begin = half == 0 ? 0 : out / 2;
      const int end = half == 0 ? out / 2 : out;
      stage_weights<Channels>(c.pointwise, begin, end, geometry.channels, shared.weights);
      stage_rows<Channels>(c.gradient, 4, out, shared.gradient_rows);
      cp_async_commit();
      cp_async_wait<0>();
      __syncthreads();
      if (part.rows > 0 && part.columns > 0) {
        form_products<P, Channels>(image_of<const Operand<P>>(c.g, tile.image, geometry.out_height, geometry.out_width),
                                   image_of<const Operand<P>>(c.y, tile.image, geometry.out_height, geometry.out_width),
                                   shared.gradient_rows, shared.weights, region, part,
                                   dd + half * width * height * pitch);
      }
      __syncthreads();
    }
    const Operand<P>* const first = dd + (strip.row / 2 * width + strip.column / 2) * pitch + strip.channel;
    const Operand<P>* const second = first + width * height * pitch;
    StripSums dz;
    unpark(shared.arena, dz);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Vec<2> even = load<2>(first + j * pitch);
      const Vec<2> odd = load<2>(second + j * pitch);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        dz[0][2 * j][i] += even.lane[i];
        dz[1][2 * j + 1][i] += odd.lane[i];
      }
    }
    park(dz, shared.arena);
    __syncthreads();
  }
}

/// What came so far went through the rectifier.
template <Product P, int Channels>
__device__ __forceinline__ void rectify(const Launch& launch, const StateArgument& state, const Place<Channels>& place,
                                        const SharedArrays& shared) {
  const auto& [tile, strip] = place;
  if (state.factorised_end == state.first) return;
  StripSums s;
  StripSums dx;
  load_state<P>(launch, state, tile, strip, s);
  unpark(shared.arena, dx);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e)
        dx[i][j][e] = s[i][j][e] > 0.0F ? dx[i][j][e] : 0.0F;
    }
  }
  park(dx, shared.arena);
}

/// dx of all pools.
template <Product P, int Channels>
__device__ __forceinline__ void add_pools(const Launch& launch, const StateArgument& state,
                                          const Place<Channels>& place, const SharedArrays& shared) {
  const auto& [tile, strip] = place;
  const Geometry& geometry = launch.geometry;
  if (state.pool_end == state.factorised_end) return;
  const auto x = image_of<const Operand<P>>(state.x, tile.image, geometry.height, geometry.width);
  const Region seen{tile.row - geometry.pool_before, tile.column - geometry.pool_before, geometry.pool_rows,
                    geometry.pool_columns};
  Operand<P>* const source = shared.at<Operand<P>>(geometry.pool_at);
  float* const gradients = shared.at<float>(geometry.pool_gradients_at);
  unsigned char* const winners = shared.at<unsigned char>(geometry.winners_at);
  load_region<P, Channels>(x, seen, source);
  if (state.normalisation != nullptr) {
    cp_async_wait<0>();
    __syncthreads();
    normalise_region<P, Channels>(x, seen, state.normalisation, source);
  }
  int k = state.factorised_end;
  while (k < state.pool_end) {
    const CandidateArgument& c = launch.candidates[k];
    int terms = 0;
    for (; k + terms < state.pool_end; ++terms) {
      const CandidateArgument& other = launch.candidates[k + terms];
      if (other.kind != c.kind || other.kernel != c.kernel || other.padding != c.padding) break;
      stage_rows<Channels>(other.gradient, 4, other.g.channels, shared.gradient_rows + terms * 4 * Channels);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    const int before = (c.kernel - 1 - c.padding) / geometry.stride;
    const Region region{tile.row / geometry.stride - before, tile.column / geometry.stride - before,
                        before + (Tile<Channels>::height - 1 + c.padding) / geometry.stride + 1,
                        before + (Tile<Channels>::width - 1 + c.padding) / geometry.stride + 1};
    const PoolWindow window{c.kernel, c.padding, geometry.stride};
    const auto term_of = [&](int term) -> PoolTerm<Operand<P>> {
      return {image_of<const Operand<P>>(launch.candidates[k + term].g, tile.image, geometry.out_height,
                                         geometry.out_width),
              shared.gradient_rows + term * 4 * Channels};
    };
    const auto run = [&](auto max) {
      constexpr bool is_max = decltype(max)::value;
      form_pool_gradients<P, Channels, is_max>(source, seen, geometry.height, geometry.width, window, region,
                                               geometry.out_height, geometry.out_width, terms, term_of, gradients,
                                               winners);
      __syncthreads();
      StripSums dx;
      unpark(shared.arena, dx);
      gather_pool<Channels, is_max>(gradients, winners, region, window, tile.row, tile.column, strip, dx);
      park(dx, shared.arena);
    };
    if (c.kind == CandidateKind::max_pool) {
      run(std::true_type{});
    } else {
      run(std::false_type{});
    }
    __syncthreads();
    k += terms;
  }
}

/// dx of all identities.
template <Product P, int Channels>
__device__ __forceinline__ void add_identities(const Launch& launch, const StateArgument& state, const TileAt& tile,
                                               const Strip<Channels>& strip, const SharedArrays& shared,
                                               const StripSums& s, StripSums& dx) {
  const int terms = state.end - state.pool_end;
  if (terms == 0) return;
  const Geometry& geometry = launch.geometry;
  const CandidateArgument* const candidates = launch.candidates + state.pool_end;
  for (int k = 0; k < terms; ++k) {
    stage_rows<Channels>(candidates[k].gradient, 4, candidates[k].g.channels, shared.gradient_rows + k * 4 * Channels);
  }
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  for (int k = 0; k < terms; ++k) {
    const auto g = image_of<const Operand<P>>(candidates[k].g, tile.image, geometry.height, geometry.width);
    const float* const rows = shared.gradient_rows + k * 4 * Channels + strip.channel;
    const Vec<2> scale = load<2>(rows);
    const Vec<2> slope = load<2>(rows + Channels);
    const Vec<2> centre = load<2>(rows + 2 * Channels);
    const Vec<2> offset = load<2>(rows + 3 * Channels);
    StripSums value;
    load_strip(g, tile, strip, value);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          dx[i][j][e] +=
              fmaf(scale.lane[e], value[i][j][e], fmaf(slope.lane[e], s[i][j][e] - centre.lane[e], offset.lane[e]));
        }
      }
    }
  }
  __syncthreads();
}

/// Writes dx of a strip and, for a source's normalisation, adds the sums of what was written, and of it times s.
template <Product P, int Channels>
__device__ __forceinline__ void store_gradient(const Launch& launch, const StateArgument& state, const TileAt& tile,
                                               const Strip<Channels>& strip, const SharedArrays& shared, float* partial,
                                               const StripSums& s, const StripSums& dx) {
  const Geometry& geometry = launch.geometry;
  const auto to = image_of<Operand<P>>(state.dx, tile.image, geometry.height, geometry.width);
  const int stride = static_cast<int>(to.pixel_stride);
  const bool both = strip.channel + 1 < to.channels;
  float sum[2] = {};
  float product[2] = {};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    Operand<P>* const row = to.at(tile.row + strip.row_of(i), tile.column + strip.column) + strip.channel;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (!exists(to, tile, strip, i, j)) continue;
      Operand<P>* const at = row + j * stride;
      Vec<2> value{{dx[i][j][0], dx[i][j][1]}};
      if (to.vectorised) {
        if (state.accumulate) {
          const Vec<2> old = load<2>(at);
          value.lane[0] += old.lane[0];
          value.lane[1] += old.lane[1];
        }
        store(at, value);
      } else {
        if (state.accumulate) value.lane[0] += load<1>(at).lane[0];
        store(at, Vec<1>{{value.lane[0]}});
        if (both) {
          if (state.accumulate) value.lane[1] += load<1>(at + 1).lane[0];
          store(at + 1, Vec<1>{{value.lane[1]}});
        }
      }
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float stored = as_stored(value.lane[e], at);
        sum[e] += stored;
        product[e] = fmaf(stored, s[i][j][e], product[e]);
      }
    }
  }
  if (state.gradient != nullptr) {
    sum_strips<Channels>(sum[0], sum[1], 0, 2, shared.sums);
    sum_strips<Channels>(product[0], product[1], 1, 2, shared.sums);
    __syncthreads();
    add_warp_sums<Channels>(shared.sums, 2, geometry.channels, partial + state.sums);
  }
}

/// The candidates that need no neighbours, and the end.
template <Product P, int Channels>
__device__ __forceinline__ void finish_tile(const Launch& launch, const StateArgument& state,
                                            const Place<Channels>& place, const SharedArrays& shared, float* partial) {
  const auto& [tile, strip] = place;
  StripSums s;
  StripSums dx;
  load_state<P>(launch, state, tile, strip, s);
  unpark(shared.arena, dx);
  add_identities<P, Channels>(launch, state, tile, strip, shared, s, dx);
  store_gradient<P, Channels>(launch, state, tile, strip, shared, partial, s, dx);
}

/// A tile of dx. Shared memory is free before and after.
template <Product P, int Channels, bool Weights>
__device__ __forceinline__ void data_tile(const Launch& launch, const StateArgument& state, int index,
                                          const SharedArrays& shared, float* partial) {
  const Geometry& geometry = launch.geometry;
  {
    const StripSums nothing = {};
    park(nothing, shared.arena);
  }
  add_separable<P, Channels, Weights>(launch, state, Place<Channels>(geometry, index), shared, partial);
  add_factorised<P, Channels>(launch, state, Place<Channels>(geometry, index), shared);
  rectify<P, Channels>(launch, state, Place<Channels>(geometry, index), shared);
  add_pools<P, Channels>(launch, state, Place<Channels>(geometry, index), shared);
  finish_tile<P, Channels>(launch, state, Place<Channels>(geometry, index), shared, partial);
  __syncthreads();
}

// --- gradient of the pointwise weights ------------------------------------------------------------------------------

/// The depthwise output of a quarter tile of outputs, stride 2: two neighbouring pixels per thread.
template <Product P, int Channels>
__device__ __forceinline__ void correlate_strided(const Operand<P>* region, int columns, const Window& window,
                                                  const float* filter, Operand<P>* d) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int pairs = Channels / 2;
  constexpr int width = Tile<Channels>::width / 2;
  const int channel = this_thread() % pairs * 2;
  const int pixel = this_thread() / pairs * 2;
  const Operand<P>* const corner =
      region + ((pixel / width * 2 + window.first) * columns + pixel % width * 2 + window.first) * pitch + channel;
  float sum[2][2] = {};
#pragma unroll 1
  for (int tap = 0; tap < window.kernel * window.kernel; ++tap) {
    const Operand<P>* const at =
        corner + (tap / window.kernel * columns + tap % window.kernel) * window.dilation * pitch;
    const Vec<2> w = load<2>(filter + tap * Channels + channel);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Vec<2> value = load<2>(at + 2 * j * pitch);
      sum[j][0] = fmaf(w.lane[0], fmaxf(value.lane[0], 0.0F), sum[j][0]);
      sum[j][1] = fmaf(w.lane[1], fmaxf(value.lane[1], 0.0F), sum[j][1]);
    }
  }
#pragma unroll
  for (int j = 0; j < 2; ++j)
    store(d + (pixel + j) * pitch + channel, Vec<2>{{sum[j][0], sum[j][1]}});
}

/// total [out, in] += dy^T d over `Pixels` pixels, for the rows from `begin` to `end`. A thread always adds to the same
/// elements.
template <Product P, int Channels, int Pixels>
__device__ __forceinline__ void add_products(const Operand<P>* dy, const Operand<P>* d, int begin, int end, int in,
                                             float* sums, float* total) {
  constexpr int pitch = operand_pitch<P>(Channels);
  const int thread = this_thread();
  const int warp = thread / 32;
  const int lane = thread % 32;
  const auto add = [&](int row, int column, float value) {
    if (row >= begin && row < end && column < in) total[row * in + column] += value;
  };
  if constexpr (Channels == 16) {
    // One tile of 16x16 for all warps: they divide the pixels.
    constexpr int depth = Pixels / tile_warps < 16 ? 16 : Pixels / tile_warps;
    constexpr int parts = Pixels / depth;
    if (warp < parts) {
      float part[2][4] = {};
      multiply_columns<P, depth, 2>(part, dy + warp * depth * pitch, pitch, d + warp * depth * pitch, pitch);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          store(sums + warp * 256 + (lane / 4 + 8 * half) * 16 + 8 * j + lane % 4 * 2,
                Vec<2>{{part[j][2 * half], part[j][2 * half + 1]}});
        }
      }
    }
    __syncthreads();
    float sum = 0.0F;
#pragma unroll
    for (int part = 0; part < parts; ++part)
      sum += sums[part * 256 + thread];
    add(thread / 16, thread % 16, sum);
  } else {
    constexpr int tiles = Channels / 16 * (Channels / 8) / tile_warps;  // of 16x8, per warp
    constexpr int across = Channels / 8 / tiles;                        // warps
    const int row = warp / across * 16;
    const int column = warp % across * tiles * 8;
    float part[tiles][4] = {};
    multiply_columns<P, Pixels, tiles>(part, dy + row, pitch, d + column, pitch);
#pragma unroll
    for (int j = 0; j < tiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        add(row + lane / 4 + e / 2 * 8, column + 8 * j + lane % 4 * 2 + e % 2, part[j][e]);
    }
  }
}

/// The part of a tile of outputs in dpointwise of all candidates; with stride 2 the tile is a quarter, so that what it
/// sees is no larger. Shared memory is free before and after.
template <Product P, int Channels, int Stride>
__device__ __forceinline__ void weight_tile(const Launch& launch, const StateArgument& state, int index,
                                            const SharedArrays& shared, float* partial) {
  constexpr int pitch = operand_pitch<P>(Channels);
  constexpr int width = Tile<Channels>::width / Stride;
  constexpr int height = Tile<Channels>::height / Stride;
  constexpr int pixels = width * height;
  constexpr int quads = Channels / 4;
  const Geometry& geometry = launch.geometry;
  const auto wanted_from = [&](int k) {
    while (k < state.factorised_end && launch.candidates[k].dpointwise == nullptr)
      ++k;
    return k;
  };
  int k = wanted_from(state.first);
  if (k == state.factorised_end) return;
  const TileAt tile = tile_at(index, geometry.out_tiles_down, geometry.out_tiles_across, height, width);
  const auto x = image_of<const Operand<P>>(state.x, tile.image, geometry.height, geometry.width);
  const Region seen{tile.row * Stride - geometry.seen_before, tile.column * Stride - geometry.seen_before,
                    geometry.seen_rows, geometry.seen_columns};
  Operand<P>* const source = shared.at<Operand<P>>(0);
  Operand<P>* const d = shared.at<Operand<P>>(geometry.outputs_at);
  Operand<P>* const dy = d + pixels * pitch;
  const auto stage = [&](const CandidateArgument& c) {
    if (c.kind == CandidateKind::separable)
      stage_rows<Channels>(c.filter, c.kernel * c.kernel, geometry.channels, shared.filter);
    stage_rows<Channels>(c.gradient, 4, c.g.channels, shared.gradient_rows);
    cp_async_commit();
  };
  load_region<P, Channels>(x, seen, source);
  stage(launch.candidates[k]);
  cp_async_wait<0>();
  __syncthreads();
  if (state.normalisation != nullptr) {
    normalise_region<P, Channels>(x, seen, state.normalisation, source);
    __syncthreads();
  }
  while (k < state.factorised_end) {
    const CandidateArgument& c = launch.candidates[k];
    const auto g = image_of<const Operand<P>>(c.g, tile.image, geometry.out_height, geometry.out_width);
    const auto y = image_of<const Operand<P>>(c.y, tile.image, geometry.out_height, geometry.out_width);
#pragma unroll
    for (int i = this_thread(); i < pixels * quads; i += tile_threads) {
      const int channel = i % quads * 4;
      const int row = tile.row + i / quads / width;
      const int column = tile.column + i / quads % width;
      Vec<4> value{};
      if (g.contains(row, column)) {
        value = form_gradient<Channels>(widen(load_quad(g.at(row, column), channel, g.channels, g.vectorised)),
                                        widen(load_quad(y.at(row, column), channel, y.channels, y.vectorised)),
                                        shared.gradient_rows, channel);
      }
      store(dy + i / quads * pitch + channel, value);
    }
    if (c.kind == CandidateKind::separable) {
      const Window window{c.kernel, c.dilation, Stride, geometry.seen_before - c.padding};
      if constexpr (Stride == 1) {
        const Strip<Channels> strip(spacing_for(c.dilation));
        StripSums sum = {};
        correlate<P, Channels>(source, geometry.seen_columns, window, shared.filter, strip, sum);
        store_strip<P, Channels>(strip, sum, d);
      } else {
        correlate_strided<P, Channels>(source, geometry.seen_columns, window, shared.filter, d);
      }
      __syncthreads();
      const int next = wanted_from(k + 1);
      if (next < state.factorised_end) stage(launch.candidates[next]);  // the filter and the rows are done with
      add_products<P, Channels, pixels>(dy, d, 0, c.g.channels, geometry.channels, shared.sums,
                                        partial + c.pointwise_sums);
      k = next;
    } else {
      for (int half = 0; half < 2; ++half) {
        const int first = geometry.seen_before + half;
        for (int i = this_thread(); i < pixels * quads; i += tile_threads) {
          const int channel = i % quads * 4;
          const int row = i / quads / width * 2 + first;
          const int column = i / quads % width * 2 + first;
          Vec<4> value = load<4>(source + (row * geometry.seen_columns + column) * pitch + channel);
          for (int e = 0; e < 4; ++e)
            value.lane[e] = fmaxf(value.lane[e], 0.0F);
          store(d + i / quads * pitch + channel, value);
        }
        __syncthreads();
        const int out = c.g.channels;
        add_products<P, Channels, pixels>(dy, d, half == 0 ? 0 : out / 2, half == 0 ? out / 2 : out, geometry.channels,
                                          shared.sums, partial + c.pointwise_sums);
        __syncthreads();
      }
      k = wanted_from(k + 1);
      if (k < state.factorised_end) stage(launch.candidates[k]);
    }
    cp_async_wait<0>();
    __syncthreads();
  }
}

// --- sums over blocks -----------------------------------------------------------------------------------------------

/// Elements from `first` on of an array of `elements`, of which the tensor takes what lies in it.
__device__ __forceinline__ void store_part(int first, const Vec<4>& value, int elements, float* to) {
  if (to == nullptr || first < 0 || first >= elements) return;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (first + j < elements) to[first + j] = value.lane[j];
  }
}

/// The blocks' partial sums of a state become gradients.
__device__ __forceinline__ void finish_sums(const Launch& launch, const StateArgument& state, unsigned* counters,
                                            float* partials) {
  const int channels = launch.geometry.channels;
  const auto finish = [&](int i, const Vec<4>& sum) {
    for (int k = state.first; k < state.factorised_end; ++k) {
      const CandidateArgument& c = launch.candidates[k];
      store_part(i - c.filter_sums, sum, c.kernel * c.kernel * channels, c.dfilter);
      store_part(i - c.pointwise_sums, sum, c.g.channels * channels, c.dpointwise);
    }
    if (state.gradient == nullptr || i < state.sums) return;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int channel = (i + j - state.sums) % channels;
      const double rstd = static_cast<double>(state.normalisation[rstd_row * channels + channel]);
      const double mean = static_cast<double>(sum.lane[j]) / static_cast<double>(launch.geometry.pixels);
      if (i + j < state.sums + channels) {  // of dx
        state.gradient[scale_row * channels + channel] = static_cast<float>(rstd);
        state.gradient[centre_row * channels + channel] = state.normalisation[mean_row * channels + channel];
        state.gradient[offset_row * channels + channel] = static_cast<float>(-rstd * mean);
      } else if (i + j < state.sums + 2 * channels) {  // of dx * s, which is dx * (x - mean) rstd
        state.gradient[slope_row * channels + channel] = static_cast<float>(-rstd * rstd * mean);
      }
    }
  };
  add_blocks<tile_threads>(partials, state.entries, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), counters,
                           finish);
}

// --- kernel ---------------------------------------------------------------------------------------------------------

template <Product P, int Channels, bool Weights>
__global__ void __launch_bounds__(tile_threads, Channels == 16 ? 2 : 1)
    backward_kernel(const __grid_constant__ Launch launch) {
  const Geometry& geometry = launch.geometry;
  const StateArgument& state = launch.states[blockIdx.y];
  SharedMemory memory;
  SharedArrays shared;
  shared.arena = memory.take<float>(geometry.arena / 4);
  shared.weights = memory.take<float>(Channels * weights_pitch<Channels>);
  shared.gradient_rows = memory.take<float>(geometry.gradient_rows);
  shared.filter = memory.take<float>(geometry.filter);
  shared.sums = memory.take<float>(geometry.sums);

  float* const partials = launch.partials + state.partials;
  float* const partial = partials + std::int64_t{blockIdx.x} * state.entries;
  for (int i = this_thread(); i < state.entries; i += tile_threads)
    partial[i] = 0.0F;
  __syncthreads();

  const int first = static_cast<int>(blockIdx.x) * geometry.tiles_per_block;
  for (int tile = first; tile < first + geometry.tiles_per_block && tile < geometry.tiles; ++tile)
    data_tile<P, Channels, Weights>(launch, state, tile, shared, partial);
  if constexpr (Weights) {
    for (int tile = static_cast<int>(blockIdx.x); tile < geometry.out_tiles; tile += static_cast<int>(gridDim.x)) {
      if (geometry.stride == 1) {
        weight_tile<P, Channels, 1>(launch, state, tile, shared, partial);
      } else {
        weight_tile<P, Channels, 2>(launch, state, tile, shared, partial);
      }
    }
  }
  if (state.entries > 0)
    finish_sums(launch, state,
                launch.counters + static_cast<int>(blockIdx.y) * add_counters(static_cast<int>(gridDim.x)), partials);
}

// --- launcher -------------------------------------------------------------------------------------------------------

int order_of(CandidateKind kind) {
  switch (kind) {
    case CandidateKind::separable:
      return 0;
    case CandidateKind::factorised_reduce:
      return 1;
    case CandidateKind::max_pool:
      return 2;
    case CandidateKind::avg_pool:
      return 3;
    case CandidateKind::identity:
      return 4;
  }
  return 4;
}

bool is_pool(CandidateKind kind) {
  return kind == CandidateKind::max_pool || kind == CandidateKind::avg_pool;
}

bool has_weights(CandidateKind kind) {
  return kind == CandidateKind::separable || kind == CandidateKind::factorised_reduce;
}

/// A state's candidates in the order in which the kernel takes them.
std::vector<const CandidateGradient*> sorted(const StateGradient& state) {
  std::vector<const CandidateGradient*> candidates;
  for (const CandidateGradient& c : state.candidates)
    candidates.push_back(&c);
  std::ranges::stable_sort(candidates, {}, [](const CandidateGradient* c) {
    const bool pool = is_pool(c->candidate.kind);
    return std::array{order_of(c->candidate.kind), pool ? c->candidate.window.kernel : 0,
                      pool ? c->candidate.window.padding : 0};
  });
  return candidates;
}

struct TileShape {
  int channels, height, width;
};

TileShape tile_for(std::int64_t channels) {
  if (channels <= 16) return {16, Tile<16>::height, Tile<16>::width};
  if (channels <= 32) return {32, Tile<32>::height, Tile<32>::width};
  return {64, Tile<64>::height, Tile<64>::width};
}

int ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

struct Plan {
  Geometry geometry{};
  StateBundleBackwardLaunch launch;
  bool weights = false;
};

/// Every tensor's partial sums begin at a multiple of four: they are added up four at a time.
int padded(std::int64_t elements) {
  return static_cast<int>((elements + 3) / 4 * 4);
}

/// Partial sums that a block keeps of a state.
int entries_of(const StateGradient& state) {
  int entries = state.normalisation ? padded(2 * state.source.x.channels()) : 0;
  for (const CandidateGradient& c : state.candidates) {
    if (c.dfilter) entries += padded(c.candidate.filter.elements());
    if (c.dpointwise) entries += padded(c.candidate.pointwise.elements());
  }
  return entries;
}

void plan_arrays(Plan& plan, int stride, std::span<const StateGradient> states, const TileShape& tile,
                 Product product) {
  Geometry& geometry = plan.geometry;
  const int pitch = product == Product::bf16 ? operand_pitch<Product::bf16>(tile.channels)
                                             : operand_pitch<Product::tf32>(tile.channels);
  const int operand_bytes = product == Product::bf16 ? 2 : 4;
  const int tile_pixels = tile.height * tile.width;
  int after_low = 0;  // how far the regions reach behind the first pixel ...
  int pool_low = 0;
  int pool_high_rows = 0;
  int pool_high_columns = 0;
  int seen_high = 0;
  int pool_outputs = 0;
  int taps = 0;
  int terms = 1;
  bool separable = false;
  bool factorised = false;
  for (const StateGradient& state : states) {
    int equal = 0;
    const CandidateGradient* last = nullptr;
    for (const CandidateGradient* c : sorted(state)) {
      const SeparableWindow& window = c->candidate.window;
      switch (c->candidate.kind) {
        case CandidateKind::separable: {
          const int reach = (window.kernel - 1) * window.dilation;
          geometry.before = std::max(geometry.before, (reach - window.padding) / stride);
          after_low = std::max(after_low, window.padding);
          geometry.seen_before = std::max(geometry.seen_before, window.padding);
          seen_high = std::max(seen_high, reach - window.padding);
          taps = std::max(taps, window.kernel * window.kernel);
          separable = true;
          break;
        }
        case CandidateKind::factorised_reduce:
          seen_high = std::max(seen_high, 1);
          factorised = true;
          break;
        case CandidateKind::max_pool:
        case CandidateKind::avg_pool: {
          const int before = (window.kernel - 1 - window.padding) / stride;
          const int rows = (tile.height - 1 + window.padding) / stride;
          const int columns = (tile.width - 1 + window.padding) / stride;
          pool_low = std::max(pool_low, before * stride + window.padding);
          pool_high_rows = std::max(pool_high_rows, rows * stride - window.padding + window.kernel);
          pool_high_columns = std::max(pool_high_columns, columns * stride - window.padding + window.kernel);
          pool_outputs = std::max(pool_outputs, (before + rows + 1) * (before + columns + 1));
          break;
        }
        case CandidateKind::identity:
          break;
      }
      const bool shares = last != nullptr && last->candidate.kind == c->candidate.kind &&
                          (!is_pool(c->candidate.kind) || (last->candidate.window.kernel == window.kernel &&
                                                           last->candidate.window.padding == window.padding));
      equal = shares && !has_weights(c->candidate.kind) ? equal + 1 : 1;
      terms = std::max(terms, equal);
      last = c;
    }
  }
  geometry.rows = geometry.before + (tile.height - 1 + after_low) / stride + 1;
  geometry.columns = geometry.before + (tile.width - 1 + after_low) / stride + 1;
  geometry.pool_before = pool_low;
  geometry.pool_rows = pool_low + pool_high_rows;
  geometry.pool_columns = pool_low + pool_high_columns;
  geometry.seen_rows = geometry.seen_before + (tile.height / stride - 1) * stride + seen_high + 1;
  geometry.seen_columns = geometry.seen_before + (tile.width / stride - 1) * stride + seen_high + 1;

  const int strips = tile_elements * 4;
  const int pixel = pitch * operand_bytes;  // a multiple of 16
  geometry.z_at = strips;
  geometry.products_at = strips + (plan.weights && separable ? strips : 0);
  const int products = std::max(separable ? geometry.rows * geometry.columns : 0, factorised ? tile_pixels / 2 : 0);
  geometry.arena = geometry.products_at + products * pixel;
  geometry.pool_at = strips;
  geometry.pool_gradients_at = geometry.pool_at + geometry.pool_rows * geometry.pool_columns * pixel;
  geometry.winners_at = geometry.pool_gradients_at + pool_outputs * (tile.channels + 4) * 4;
  if (pool_outputs > 0) geometry.arena = std::max(geometry.arena, geometry.winners_at + pool_outputs * tile.channels);
  geometry.outputs_at = geometry.seen_rows * geometry.seen_columns * pixel;
  if (plan.weights)
    geometry.arena = std::max(geometry.arena, geometry.outputs_at + 2 * tile_pixels / (stride * stride) * pixel);
  geometry.gradient_rows = terms * 4 * tile.channels;
  geometry.filter = taps * tile.channels;
  geometry.sums = tile_warps * tile.channels * std::max(2, plan.weights ? std::min(taps, max_tap_batch) : 0);
  if (plan.weights && tile.channels == 16) geometry.sums = std::max(geometry.sums, tile_warps * 256);

  const auto floats = [](int count) { return shared_bytes<float>(static_cast<std::size_t>(count)); };
  plan.launch.shared = floats(geometry.arena / 4) + floats(tile.channels * (tile.channels + 2)) +
                       floats(geometry.gradient_rows) + floats(geometry.filter) + floats(geometry.sums);
}

Plan plan_for(int stride, std::span<const StateGradient> states, Product product) {
  Plan plan;
  Geometry& geometry = plan.geometry;
  const Shape& x = states[0].source.x.shape;
  std::int64_t widest = x[3];
  Shape out;
  std::int64_t entries = 0;
  for (const StateGradient& state : states) {
    for (const CandidateGradient& c : state.candidates) {
      widest = std::max(widest, c.g.channels());
      out = c.g.shape;
      plan.weights = plan.weights || c.dfilter || c.dpointwise;
    }
    entries += entries_of(state);
  }
  const TileShape tile = tile_for(widest);
  geometry.height = static_cast<int>(x[1]);
  geometry.width = static_cast<int>(x[2]);
  geometry.channels = static_cast<int>(x[3]);
  geometry.out_height = static_cast<int>(out[1]);
  geometry.out_width = static_cast<int>(out[2]);
  geometry.pixels = x[0] * x[1] * x[2];
  geometry.stride = stride;
  geometry.tiles_down = ceil_div(x[1], tile.height);
  geometry.tiles_across = ceil_div(x[2], tile.width);
  geometry.tiles = static_cast<int>(x[0]) * geometry.tiles_down * geometry.tiles_across;
  geometry.out_tiles_down = ceil_div(out[1], tile.height / stride);
  geometry.out_tiles_across = ceil_div(out[2], tile.width / stride);
  geometry.out_tiles = static_cast<int>(x[0]) * geometry.out_tiles_down * geometry.out_tiles_across;

  // All blocks of a state take equally many tiles, but for the last.
  const auto count = static_cast<std::int64_t>(states.size());
  geometry.tiles_per_block = ceil_div(geometry.tiles * count, plan.weights ? max_weight_blocks : max_data_blocks);
  const int blocks = ceil_div(geometry.tiles, geometry.tiles_per_block);
  plan_arrays(plan, stride, states, tile, product);
  plan.launch.channels = tile.channels;
  plan.launch.blocks = static_cast<unsigned>(blocks);
  plan.launch.counters = states.size() * static_cast<std::size_t>(add_counters(blocks));
  plan.launch.workspace =
      counter_bytes(plan.launch.counters) + static_cast<std::size_t>(entries * blocks) * sizeof(float);
  plan.launch.fits = widest <= max_tile_channels && plan.launch.shared <= max_shared_bytes;
  return plan;
}

TensorArgument argument_of(const TensorView& t) {
  if (!t) return {};
  const auto bytes = static_cast<std::int64_t>(size_of(t.dtype));
  const bool vectorised = aligned16(t.data) && t.pixel_stride * bytes % 16 == 0 && t.channels() * bytes % 16 == 0;
  return {t.data, t.pixel_stride, static_cast<int>(t.channels()), vectorised};
}

Launch arguments_of(std::span<const StateGradient> states, const Plan& plan, std::span<std::byte> workspace) {
  Launch launch{};
  launch.geometry = plan.geometry;
  launch.counters = reinterpret_cast<unsigned*>(workspace.data());
  launch.partials = reinterpret_cast<float*>(workspace.data() + counter_bytes(plan.launch.counters));
  std::int64_t partials = 0;
  int candidate = 0;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const StateGradient& from = states[i];
    StateArgument& state = launch.states[i];
    state.x = argument_of(from.source.x);
    state.dx = argument_of(from.dx);
    state.normalisation = from.source.normalisation.f32();
    state.gradient = from.normalisation.f32();
    state.accumulate = from.write == Write::accumulate;
    state.first = static_cast<std::int16_t>(candidate);
    int ends[5] = {candidate, candidate, candidate, candidate, candidate};  // by order_of
    int entries = 0;
    const auto reserve = [&](const TensorView& wanted) {
      const int at = entries;
      if (wanted) entries += padded(wanted.elements());
      return at;
    };
    for (const CandidateGradient* c : sorted(from)) {
      const SeparableWindow& window = c->candidate.window;
      CandidateArgument& to = launch.candidates[candidate++];
      to = {argument_of(c->y),
            argument_of(c->g),
            c->gradient.f32(),
            c->candidate.filter.f32(),
            c->candidate.pointwise.f32(),
            c->dfilter.f32(),
            c->dpointwise.f32(),
            window.kernel,
            window.dilation,
            window.padding,
            reserve(c->dfilter),
            reserve(c->dpointwise),
            c->candidate.kind};
      for (int order = order_of(c->candidate.kind); order < 5; ++order)
        ends[order] = candidate;
    }
    state.separable_end = static_cast<std::int16_t>(ends[0]);
    state.factorised_end = static_cast<std::int16_t>(ends[1]);
    state.pool_end = static_cast<std::int16_t>(ends[3]);
    state.end = static_cast<std::int16_t>(ends[4]);
    state.sums = entries;
    if (from.normalisation) entries += padded(2 * plan.geometry.channels);
    state.entries = entries;
    state.partials = partials;
    partials += std::int64_t{entries} * plan.launch.blocks;
  }
  return launch;
}

template <Product P, int Channels>
void launch_kernel(const Launch& arguments, const Plan& plan, std::size_t states, void* stream) {
  const LaunchShape shape({plan.launch.blocks, static_cast<unsigned>(states)}, tile_threads, plan.launch.shared);
  const auto kernel = plan.weights ? backward_kernel<P, Channels, true> : backward_kernel<P, Channels, false>;
  launch("state_bundle_backward", kernel, shape, stream, arguments);
}

template <Product P>
void launch_product(const Launch& arguments, const Plan& plan, std::size_t states, void* stream) {
  const auto launch_channels = plan.launch.channels == 16   ? launch_kernel<P, 16>
                               : plan.launch.channels == 32 ? launch_kernel<P, 32>
                                                            : launch_kernel<P, 64>;
  launch_channels(arguments, plan, states, stream);
}

}  // namespace

StateBundleBackwardLaunch state_bundle_backward_launch(int stride, std::span<const StateGradient> states,
                                                       Product product) {
  return states.empty() ? StateBundleBackwardLaunch{} : plan_for(stride, states, product).launch;
}

std::size_t state_bundle_backward_workspace(int stride, std::span<const StateGradient> states) {
  return state_bundle_backward_launch(stride, states, Product::tf32).workspace;  // the same for all products
}

void state_bundle_backward(int stride, std::span<const StateGradient> states, Product product,
                           std::span<std::byte> workspace, void* stream) {
  if (states.empty()) return;
  const Plan plan = plan_for(stride, states, product);
  const Launch arguments = arguments_of(states, plan, workspace);
  const auto launch_it = product == Product::tf32x3 ? launch_product<Product::tf32x3>
                         : product == Product::tf32 ? launch_product<Product::tf32>
                                                    : launch_product<Product::bf16>;
  launch_it(arguments, plan, states.size(), stream);
}

}  // namespace dnas::kernels::cuda
