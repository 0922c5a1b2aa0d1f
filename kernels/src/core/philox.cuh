#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace dnas::kernels::cuda {

/// A stream of random numbers as dnas::Philox (rng.hpp) draws them: same key, same counters, same words.
struct PhiloxStream {
  std::uint64_t seed;
  std::uint32_t stream;
  std::uint32_t step;

  /// Four uniform words for one element.
  __device__ __forceinline__ uint4 words(std::uint64_t element) const {
    uint4 counter{static_cast<unsigned>(element), static_cast<unsigned>(element >> 32U), step, stream};
    unsigned key0 = static_cast<unsigned>(seed);
    unsigned key1 = static_cast<unsigned>(seed >> 32U);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
      constexpr unsigned multiplier0 = 0xD2511F53U;
      constexpr unsigned multiplier1 = 0xCD9E8D57U;
      counter = {__umulhi(multiplier1, counter.z) ^ counter.y ^ key0, multiplier1 * counter.z,
                 __umulhi(multiplier0, counter.x) ^ counter.w ^ key1, multiplier0 * counter.x};
      key0 += 0x9E3779B9U;
      key1 += 0xBB67AE85U;
    }
    return counter;
  }

  /// Uniform in [0, 1): the top 24 bits of the first word.
  __device__ __forceinline__ float uniform(std::uint64_t element) const {
    return static_cast<float>(words(element).x >> 8U) * 0x1.0p-24F;
  }

  /// Standard normal by Box-Muller; in f64, so that host and device differ by their mathematical functions only. cospi
  /// needs no reduction of large arguments, for which cos has a slow path that spills to local memory.
  __device__ __forceinline__ float normal(std::uint64_t element) const {
    const uint4 word = words(element);
    const double u = (static_cast<double>(word.x) + 0.5) * 0x1.0p-32;  // (0, 1): log is finite
    return static_cast<float>(sqrt(-2.0 * log(u)) * cospi(static_cast<double>(word.y) * 0x1.0p-31));
  }

  /// Standard Gumbel: -log(-log u), with u = (24 bits + 1/2) / 2^24, so that neither logarithm is infinite. In f64,
  /// which f32 would not hold near 1.
  __device__ __forceinline__ double gumbel(std::uint64_t element) const {
    const double u = (static_cast<double>(words(element).x >> 8U) + 0.5) * 0x1.0p-24;
    return -log(-log(u));
  }
};

}  // namespace dnas::kernels::cuda
