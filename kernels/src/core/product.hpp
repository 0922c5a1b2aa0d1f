#pragma once

#include <cstdint>

namespace dnas::kernels::cuda {

/// The arithmetic of a product on the tensor cores; sums are in f32 in all of them.
enum class Product : std::uint8_t {
  tf32x3,  ///< f32 operands, each split into two TF32 numbers: three products, relative error about 2^-21
  tf32,    ///< f32 operands rounded to TF32: relative error about 2^-11
  bf16,    ///< bfloat16 operands
};

}  // namespace dnas::kernels::cuda
