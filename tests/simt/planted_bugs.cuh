#pragma once

#include "core/ptx.cuh"
#include "core/shared_memory.cuh"

#include <cuda_runtime.h>

// Kernels that are right or wrong by a template argument: what the executor and the sanitizers are there to notice.
namespace dnas::simt::planted {

using kernels::cuda::SharedMemory;

inline constexpr int threads = 128;

/// out[i] = number of the neighbour `direction` (1 or -1) away, around the block.
template <bool Barrier>
__global__ void neighbour(int* out, int direction) {
  SharedMemory memory;
  int* const shared = memory.take<int>(threads);
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i;
  if constexpr (Barrier) __syncthreads();
  out[i] = shared[(i + direction + threads) % threads];
}

/// The same among the lanes of a warp. A shuffle makes lanes meet, but orders no memory.
enum class Meeting { none, sync_warp, shuffle };
template <Meeting How>
__global__ void lane_neighbour(int* out) {
  SharedMemory memory;
  int* const shared = memory.take<int>(32);
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i;
  if constexpr (How == Meeting::sync_warp) __syncwarp();
  if constexpr (How == Meeting::shuffle) (void)__shfl_sync(0xFFFFFFFFU, i, 0);
  out[i] = shared[(i + 1) % 32];
}

/// Rotates data by one place per step, with one barrier in each: right with two buffers; with one, a fast thread
/// overwrites what a slow one has still to read.
template <int Buffers>
__global__ void rotate(int* data, int steps) {
  SharedMemory memory;
  int* const shared = memory.take<int>(Buffers * threads);
  const int i = static_cast<int>(threadIdx.x);
  int value = data[i];
  for (int step = 0; step < steps; ++step) {
    int* const buffer = shared + step % Buffers * threads;
    buffer[i] = value;
    __syncthreads();
    value = buffer[(i + 1) % threads];
  }
  data[i] = value;
}

/// to[i] = from[i - 1] around the block, through an asynchronous copy.
enum class Missing { nothing, wait, barrier };
template <Missing What>
__global__ void copy_neighbour(const int4* from, int4* to) {
  SharedMemory memory;
  int4* const shared = memory.take<int4>(threads);
  const int i = static_cast<int>(threadIdx.x);
  kernels::cuda::cp_async<16>(shared + i, from + i);
  kernels::cuda::cp_async_commit();
  if constexpr (What != Missing::wait) kernels::cuda::cp_async_wait<0>();
  if constexpr (What != Missing::barrier) __syncthreads();
  to[i] = shared[(i + threads - 1) % threads];
  if constexpr (What == Missing::wait) kernels::cuda::cp_async_wait<0>();
}

/// One warp copies `steps` rows of 32, reading each while the next is under way: the wait has to leave one group
/// pending. Two is one too many; and the buffers of a step must not be filled before all have read them.
template <int Pending, bool LastSync>
__global__ void pipeline(const int4* from, int4* to, int steps) {
  SharedMemory memory;
  int4* const shared = memory.take<int4>(2 * 32);
  const int lane = static_cast<int>(threadIdx.x);
  kernels::cuda::cp_async<16>(shared + lane, from + lane);
  kernels::cuda::cp_async_commit();
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps)
      kernels::cuda::cp_async<16>(shared + (step + 1) % 2 * 32 + lane, from + (step + 1) * 32 + lane);
    kernels::cuda::cp_async_commit();
    kernels::cuda::cp_async_wait<Pending>();
    __syncwarp();
    to[step * 32 + lane] = shared[step % 2 * 32 + (lane + 1) % 32];
    if constexpr (LastSync) __syncwarp();
  }
  kernels::cuda::cp_async_wait<0>();
}

/// *sum = 1 + 2 + ... + blocks: each block writes its term, the last to arrive adds them.
template <bool FenceBefore, bool FenceAfter>
__global__ void last_block(int* partial, unsigned* arrived, int* sum) {
  SharedMemory memory;
  bool* const last = memory.take<bool>(1);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    if constexpr (FenceBefore) __threadfence();
    *last = atomicAdd(arrived, 1U) == gridDim.x - 1;
    if constexpr (FenceAfter) __threadfence();
  }
  __syncthreads();
  if (*last && threadIdx.x == 0) {
    int total = 0;
    for (unsigned block = 0; block < gridDim.x; ++block)
      total += partial[block];
    *sum = total;
    *arrived = 0;
  }
}

/// All threads write to one place.
template <bool OfBlocks>
__global__ void one_cell(int* cell) {
  *cell = static_cast<int>(blockIdx.x + threadIdx.x);
}

/// Two arrays; each thread writes `beyond` elements past its own place in the first.
__global__ inline void overrun(float* out, int beyond) {
  SharedMemory memory;
  float* const first = memory.take<float>(threads);
  float* const second = memory.take<float>(threads);
  const int i = static_cast<int>(threadIdx.x);
  second[i] = 2.0F;
  first[i + beyond] = 1.0F;
  __syncthreads();
  out[i] = first[i] + second[i];
}

__global__ inline void misaligned(const float* in, float* out) {
  out[threadIdx.x] = reinterpret_cast<const float4*>(in + 1)->x;
}

}  // namespace dnas::simt::planted
