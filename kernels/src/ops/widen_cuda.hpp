#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

namespace dnas::kernels::cuda {

/// y (+)= x for `count` values, x bfloat16, y f32, in device memory. Asynchronous, no allocation, capture-safe, bitwise
/// repeatable.
void widen(const void* x, float* y, std::int64_t count, Write write, void* stream);

}  // namespace dnas::kernels::cuda
