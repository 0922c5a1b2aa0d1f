#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// Kernels that a measurement needs besides those it measures. Device memory, asynchronous.
namespace dnas::cuda_test {

/// Uniform in [-1, 1), a function of the seed and the position alone. f32 or bf16, dense.
void fill_uniform(const TensorView& x, std::uint64_t seed, void* stream);

/// *count += number of elements that are NaN or infinite. f32 or bf16, dense.
void count_nonfinite(const TensorView& x, unsigned long long* count, void* stream);

/// Nothing, in one block.
void nothing(void* stream);

/// Keeps the stream busy for so many clock cycles of a multiprocessor.
void wait_cycles(std::int64_t cycles, void* stream);

/// y = a chain of fused multiply-adds on every multiprocessor: what the vector units can do. Returns their number times
/// two. `y` holds at least one element for each thread of `blocks` blocks of 256.
double multiply_add(int blocks, std::span<float> y, void* stream);

}  // namespace dnas::cuda_test
