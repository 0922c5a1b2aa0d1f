#include "bench_kernels.hpp"

#include "core/launch.cuh"
#include "core/vec.cuh"

#include <algorithm>

namespace dnas::cuda_test {
namespace {

using kernels::cuda::Bf16;
using kernels::cuda::launch;

constexpr int threads = 256;
constexpr int chain = 2048;     // multiply-adds of each of the independent sums
constexpr int independent = 8;  // enough to hide the latency of a multiply-add

// --- device helpers -------------------------------------------------------------------------------------------------

/// 24 well mixed bits (the finaliser of MurmurHash3).
__device__ __forceinline__ unsigned hash24(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xFF51AFD7ED558CCDULL;
  x ^= x >> 33;
  x *= 0xC4CEB9FE1A85EC53ULL;
  x ^= x >> 33;
  return static_cast<unsigned>(x >> 40);
}

__device__ __forceinline__ void put(float* to, float value) {
  *to = value;
}
__device__ __forceinline__ void put(Bf16* to, float value) {
  *to = __float2bfloat16_rn(value);
}
__device__ __forceinline__ float get(const float* from) {
  return *from;
}
__device__ __forceinline__ float get(const Bf16* from) {
  return __bfloat162float(*from);
}

template <typename Body>
__device__ __forceinline__ void grid_for(std::int64_t count, Body&& body) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * threads) {
    body(i);
  }
}

// --- kernels --------------------------------------------------------------------------------------------------------

template <typename T>
__global__ void fill_kernel(T* x, std::int64_t count, std::uint64_t seed) {
  grid_for(count, [&](std::int64_t i) {
    const unsigned bits = hash24(seed + static_cast<std::uint64_t>(i));
    put(x + i, static_cast<float>(bits) * 0x1p-23F - 1.0F);
  });
}

template <typename T>
__global__ void count_nonfinite_kernel(const T* x, std::int64_t count, unsigned long long* result) {
  unsigned long long mine = 0;
  grid_for(count, [&](std::int64_t i) {
    if (!isfinite(get(x + i))) ++mine;
  });
  if (mine > 0) atomicAdd(result, mine);
}

__global__ void nothing_kernel() {}

__global__ void wait_kernel(std::int64_t cycles) {
  const std::int64_t start = clock64();
  while (clock64() - start < cycles)
    __nanosleep(1000);
}

__global__ void __launch_bounds__(threads) multiply_add_kernel(float* y) {
  const float factor = 1.0F + static_cast<float>(threadIdx.x) * 1e-9F;
  float sum[independent];
#pragma unroll
  for (int j = 0; j < independent; ++j)
    sum[j] = static_cast<float>(j);
  for (int i = 0; i < chain; ++i) {
#pragma unroll
    for (int j = 0; j < independent; ++j)
      sum[j] = fmaf(sum[j], factor, 0.5F);
  }
  float total = 0.0F;
#pragma unroll
  for (int j = 0; j < independent; ++j)
    total += sum[j];
  y[blockIdx.x * threads + threadIdx.x] = total;
}

// --- launchers ------------------------------------------------------------------------------------------------------

unsigned blocks_of(std::int64_t count) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((count + threads - 1) / threads, 1, 4096));
}

}  // namespace

void fill_uniform(const TensorView& x, std::uint64_t seed, void* stream) {
  const std::int64_t count = x.elements();
  if (x.dtype == DType::bf16) {
    launch("fill", fill_kernel<Bf16>, {blocks_of(count), threads}, stream, static_cast<Bf16*>(x.data), count, seed);
  } else {
    launch("fill", fill_kernel<float>, {blocks_of(count), threads}, stream, x.f32(), count, seed);
  }
}

void count_nonfinite(const TensorView& x, unsigned long long* count, void* stream) {
  const std::int64_t n = x.elements();
  if (x.dtype == DType::bf16) {
    launch("count_nonfinite", count_nonfinite_kernel<Bf16>, {blocks_of(n), threads}, stream,
           static_cast<const Bf16*>(x.data), n, count);
  } else {
    launch("count_nonfinite", count_nonfinite_kernel<float>, {blocks_of(n), threads}, stream, x.f32(), n, count);
  }
}

void nothing(void* stream) {
  launch("nothing", nothing_kernel, {1, 32}, stream);
}

void wait_cycles(std::int64_t cycles, void* stream) {
  launch("wait_cycles", wait_kernel, {1, 1}, stream, cycles);
}

double multiply_add(int blocks, std::span<float> y, void* stream) {
  const auto limit = static_cast<int>(y.size() / threads);
  const int used = std::min(blocks, limit);
  launch("multiply_add", multiply_add_kernel, {static_cast<unsigned>(used), threads}, stream, y.data());
  return 2.0 * used * threads * chain * independent;
}

}  // namespace dnas::cuda_test
