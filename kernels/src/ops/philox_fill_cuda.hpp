#pragma once

#include "dnas/kernels/rng.hpp"

#include <cstdint>
#include <span>

// Arrays of random numbers made on the device: the draws of dnas::Philox (rng.hpp) for elements first, first + 1, ...,
// whatever the launch. Device memory; `stream` is a cudaStream_t. Asynchronous, no allocation, one launch each.
namespace dnas::kernels::cuda {

struct PhiloxDraws {
  std::uint64_t seed = 0;
  Stream stream = Stream::weight_init;
  std::uint32_t step = 0;
  std::uint64_t first = 0;
};

/// out[i] = bound * (2 u - 1), u = Philox::uniform(first + i): the very bits the host computes.
void fill_uniform(std::span<float> out, const PhiloxDraws& draws, float bound, void* stream);

/// out[i] = scale * Philox::normal(first + i), equal to the host's but for the last bit, where the f64 logarithm or
/// cosine of two libraries differ, and but for 1e-14 * scale where the cosine is nearly 0.
void fill_normal(std::span<float> out, const PhiloxDraws& draws, float scale, void* stream);

}  // namespace dnas::kernels::cuda
