#pragma once

#include <cstdint>

namespace dnas::kernels {

/// One product with b as stored: c[m,n] (+)= a b or, with trans_a, a^T b; all row-major.
struct GemmKernelShape {
  std::int64_t m, n, k;
  std::int64_t lda, ldb, ldc;
  bool trans_a;
  bool accumulate;
};

/// Machine code for one shape. The library is column-major: it computes c^T = b^T op(a)^T, hence b comes first.
/// The declaration ends in an ellipsis because the library's does (prefetch addresses, which we do not use).
using GemmKernel = void (*)(const float* b, const float* a, float* c, ...);

/// The library's kernel, compiled on first use and cached for the life of the process; nullptr if the library was not
/// compiled in, does not support the shape, or cannot create code here (no executable memory, unknown processor).
[[nodiscard]] GemmKernel find_gemm_kernel(const GemmKernelShape& shape) noexcept;

}  // namespace dnas::kernels
