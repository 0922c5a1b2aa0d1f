#pragma once

#include <cuda_runtime.h>

// A warp per row of a matrix, its lanes striding over the entries. All 32 lanes call.
namespace dnas::kernels::cuda {

__device__ __forceinline__ int lane_id() {
  return static_cast<int>(threadIdx.x) % 32;
}

/// The same bits in all lanes: pairs are halved, and addition commutes.
__device__ __forceinline__ double warp_sum(double value) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    value += __shfl_xor_sync(0xFFFFFFFFU, value, other);
  return value;
}

/// What the softmax of a row needs, in all lanes.
struct RowSoftmax {
  double max;
  int first_max;  // position of the maximum, the first of equals
  double sum;     // of exp(x - max); NaN if the row holds NaN

  /// logit(k): entry k, of 0 to entries - 1 (at least one), as f64.
  template <typename Logit>
  __device__ __forceinline__ RowSoftmax(int entries, Logit&& logit) : max(-INFINITY), first_max(0), sum(0.0) {
    for (int k = lane_id(); k < entries; k += 32) {
      const double value = logit(k);
      if (k == lane_id() || value > max) {
        max = value;
        first_max = k;
      }
    }
    if (lane_id() >= entries) first_max = entries;  // of a lane without entries: loses against all
#pragma unroll
    for (int other = 16; other > 0; other /= 2) {
      const double other_max = __shfl_xor_sync(0xFFFFFFFFU, max, other);
      const int other_first = __shfl_xor_sync(0xFFFFFFFFU, first_max, other);
      if (other_max > max || (other_max == max && other_first < first_max)) {
        max = other_max;
        first_max = other_first;
      }
    }
    for (int k = lane_id(); k < entries; k += 32)
      sum += exp(logit(k) - max);
    sum = warp_sum(sum);
  }
};

}  // namespace dnas::kernels::cuda
