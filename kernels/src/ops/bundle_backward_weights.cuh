#pragma once

#include "ops/bundle_backward_arguments.cuh"
#include "ops/bundle_backward_tile.cuh"

// The gradient of pointwise weights, dP = sum over the outputs of dy^T d: the depthwise outputs d are computed again.
namespace dnas::kernels::cuda::bundle_backward {

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
  TapWalk tap_at(window.kernel);
#pragma unroll 1
  for (int tap = 0; tap < window.kernel * window.kernel; ++tap, tap_at.advance()) {
    const Operand<P>* const at = corner + (tap_at.row * columns + tap_at.column) * window.dilation * pitch;
    const Vec<2> w = load<2>(filter + tap * Channels + channel);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Vec<2> value = load<2>(at + 2 * j * pitch);
      sum[j][0] = fmaf(w.lane[0], positive_part(value.lane[0]), sum[j][0]);
      sum[j][1] = fmaf(w.lane[1], positive_part(value.lane[1]), sum[j][1]);
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
            value.lane[e] = positive_part(value.lane[e]);
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

}  // namespace dnas::kernels::cuda::bundle_backward
