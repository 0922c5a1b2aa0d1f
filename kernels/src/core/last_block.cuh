#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace dnas::kernels::cuda {

/// Whether this block is the last of `blocks` to get here: the way a reduction over all blocks ends in one launch. Each
/// block writes its partial results to global memory and calls this; the one that gets true sees what all others wrote
/// and adds it up, in an order that does not depend on who arrived when.
///
/// All threads of a one-dimensional block call it, after their writes; it holds barriers. `counter` lies in the
/// workspace of the operation, is 0 before the first launch that uses it and is 0 again when the launch ends. Launches
/// that may run at the same time, and groups of blocks of one launch that end on their own, need counters of their own.
/// The last block must not read the partial results before it called this.
__device__ __forceinline__ bool arrives_last(unsigned* counter, unsigned blocks) {
  __shared__ bool last;
  __threadfence();  // what this thread wrote is seen by whoever sees the counter move
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1U) + 1 == blocks;
    if (last) *counter = 0;  // nobody else will touch it in this launch
  }
  __syncthreads();
  __threadfence();  // nothing below is read before the counter was
  return last;
}

/// What `counters` of them take at the front of a workspace: whole cache lines, so that what follows is aligned.
[[nodiscard]] constexpr std::size_t counter_bytes(std::size_t counters) noexcept {
  return (counters * sizeof(unsigned) + 127) / 128 * 128;
}

}  // namespace dnas::kernels::cuda
