#pragma once

#include "ops/bundle_backward_arguments.cuh"
#include "ops/bundle_backward_tile.cuh"
#include "ops/bundle_pool_backward.cuh"

#include <type_traits>

// A tile of a state's gradient, from all the state's candidates one after the other.
namespace dnas::kernels::cuda::bundle_backward {

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
        z[i][j][0] = positive_part(z[i][j][0]);
        z[i][j][1] = positive_part(z[i][j][1]);
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

}  // namespace dnas::kernels::cuda::bundle_backward
