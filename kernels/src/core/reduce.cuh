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

}  // namespace dnas::kernels::cuda
