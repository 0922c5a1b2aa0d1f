#pragma once

// Stands in for the toolkit's header where g++ compiles a CUDA source for the tests: the few names of CUDA that our
// kernels use, on top of simt/executor.hpp. Names with two underscores are CUDA's.
#include "simt/executor.hpp"

#include <math.h>

#include <bit>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

using dim3 = dnas::simt::Extent;
using dnas::simt::blockDim;
using dnas::simt::blockIdx;
using dnas::simt::gridDim;
using dnas::simt::threadIdx;

struct uint2 {
  unsigned x;
  unsigned y;
};

inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (* /*kernel*/)(Parameters...), cudaFuncAttribute, int /*value*/) {
  return cudaSuccess;
}

/// Runs the whole grid before it returns; refuses what the device would refuse.
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const dim3& grid = config->gridDim;
  const dim3& block = config->blockDim;
  if (grid.count() == 0 || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  if (block.count() == 0 || block.count() > 1024) return cudaErrorInvalidConfiguration;
  dnas::simt::run_grid(grid, block, [&] { kernel(static_cast<Parameters>(arguments)...); });
  return cudaSuccess;
}

// Blocks run one after the other, threads of a block switch at barriers only.
inline void __threadfence() {}

inline unsigned atomicAdd(unsigned* counter, unsigned value) {
  const unsigned before = *counter;
  *counter += value;
  return before;
}

inline void __syncthreads() {
  dnas::simt::wait_for_block();
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned offset) {
  static_assert(sizeof(T) <= sizeof(unsigned long long));
  unsigned long long bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = dnas::simt::exchange_in_warp(mask, bits, offset);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
