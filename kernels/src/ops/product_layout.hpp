#pragma once

#include "core/pass.hpp"

#include <cstdint>

namespace dnas::kernels {

/// The matrices of a linear layer or 1x1 convolution: x [rows, inputs], w [outputs, inputs], y [rows, outputs], all
/// row-major; w dense, x and y with strides from row to row.
struct LinearExtents {
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
};

/// A product as the BLAS takes it, column-major: D [m, n] = op(A) [m, k] op(B) [k, n], with the elements from column to
/// column of what is stored.
struct ColumnMajorProduct {
  bool transpose_a = false;
  bool transpose_b = false;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t lda = 0;
  std::int64_t ldb = 0;
  std::int64_t ldd = 0;
};

/// The pass as such a product: row-major matrices read as their column-major transposes, nothing copied. A, B and D are
/// w, x and y in the forward pass; w, dy and dx in the data pass; x, dy and dw in the weight pass.
[[nodiscard]] ColumnMajorProduct column_major(Pass pass, const LinearExtents& e) noexcept;

}  // namespace dnas::kernels
