#pragma once

// Stands in for the toolkit's header where g++ compiles a CUDA source for the tests: the names of CUDA that our kernels
// use, on top of simt/executor. A name that is missing is one that kernels should not use, or has to be added in
// simt/cuda with a test in executor_names_test.cpp. Names with two underscores are CUDA's.
#include "simt/cuda/atomics.hpp"
#include "simt/cuda/launch.hpp"
#include "simt/cuda/math.hpp"
#include "simt/cuda/synchronisation.hpp"
#include "simt/cuda/vector_types.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// A worker executes one block at a time. No red zones, and 0 instead of NaN at the start: arrays belong in
// SharedMemory.
#define __shared__ static thread_local
#define __constant__ static

template <typename T>
T __ldg(const T* p) {
  return *p;
}
