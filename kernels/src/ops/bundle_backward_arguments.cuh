#pragma once

#include "ops/bundle_tile.cuh"
#include "ops/state_bundle_cuda.hpp"

#include <cstdint>

// What the kernel of state_bundle_backward is given, and what all its parts make of it.
namespace dnas::kernels::cuda::bundle_backward {

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

// --- in a block ---------------------------------------------------------------------------------------------------

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

/// A tile of the state, or of the outputs.
struct TileAt {
  int image, row, column;  // first pixel
};

__device__ __forceinline__ TileAt tile_at(int index, int down, int across, int height, int width) {
  return {index / (down * across), index / across % down * height, index % across * width};
}

}  // namespace dnas::kernels::cuda::bundle_backward
