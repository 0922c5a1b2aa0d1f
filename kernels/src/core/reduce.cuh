#pragma once

#include <cuda_runtime.h>

namespace dnas::kernels::cuda {

/// Sum of `value` over the `Threads` threads of a one-dimensional block, valid in thread 0. All threads must call it.
/// The order of the additions is fixed (halving within each warp, then over the warps), so results are repeatable.
///
/// @param scratch  shared, one element per warp; free for reuse when the function returns
template <int Threads>
__device__ __forceinline__ double block_sum(double value, double (&scratch)[Threads / 32]) {
  static_assert(Threads % 32 == 0);
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_down_sync(0xFFFFFFFFU, value, offset);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0.0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < Threads / 32; ++warp)
      sum += scratch[warp];
  }
  __syncthreads();
  return sum;
}

/// An f64 sum as add_parts() wants it.
struct Sum {
  double value;
  __device__ __forceinline__ void add(const Sum& other) { value += other.value; }
};

/// Adds up `parts` parts of each of `columns` columns in a fixed order and calls finish(column, total) in one thread
/// for each: the threads of the block divide the parts of a column among them, each adds its run of parts in order,
/// then the runs are added in order. All threads of a one-dimensional block call it; it ends with a barrier.
/// Neighbouring threads ask for neighbouring columns.
///
/// @param scratch  shared, [Threads]; Total{} is nothing, total.add(other) adds
/// @param part     part(part, column), a Total
template <int Threads, typename Total, typename Part, typename Finish>
__device__ __forceinline__ void add_parts(int columns, int parts, Total* scratch, Part&& part, Finish&& finish) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int first = 0; first < columns; first += Threads) {
    const int width = columns - first < Threads ? columns - first : Threads;
    const int sharers = Threads / width;
    const int run = (parts + sharers - 1) / sharers;
    const int sharer = thread / width;
    Total total{};
    if (sharer < sharers) {
      const int end = (sharer + 1) * run < parts ? (sharer + 1) * run : parts;
#pragma unroll 8  // loads of several parts under way
      for (int p = sharer * run; p < end; ++p)
        total.add(part(p, first + thread % width));
    }
    scratch[thread] = total;
    __syncthreads();
    if (thread < width) {
      for (int s = 1; s < sharers; ++s)
        total.add(scratch[s * width + thread]);
      finish(first + thread, total);
    }
    __syncthreads();
  }
}

}  // namespace dnas::kernels::cuda
