#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

// The one door to the host GEMM library (docs/decisions/0001-host-gemm.md).
namespace dnas::kernels {

/// Sizes and layout of a batch of row-major products c_i (+)= op(a_i) op(b_i), i in [0, batch).
struct Gemm {
  std::int64_t m = 0;    ///< rows of op(a) and c
  std::int64_t n = 0;    ///< columns of op(b) and c
  std::int64_t k = 0;    ///< columns of op(a), rows of op(b)
  std::int64_t lda = 0;  ///< elements from one row of a (as stored) to the next; likewise ldb, ldc
  std::int64_t ldb = 0;
  std::int64_t ldc = 0;
  bool trans_a = false;  ///< a is stored [k, m]
  bool trans_b = false;  ///< b is stored [n, k]
  Write write = Write::overwrite;
  std::int64_t batch = 1;
  std::int64_t a_step = 0;  ///< elements from a_i to a_{i+1}; likewise b_step, c_step
  std::int64_t b_step = 0;
  std::int64_t c_step = 0;  ///< 0: all products are added up in one c, in index order
};

/// Runs on the calling thread, may run on many at once, allocates nothing once it has seen a shape. The result is a
/// function of the arguments alone, bit for bit. With Write::overwrite, c is not read. c must not overlap a or b.
void gemm(const Gemm& g, const float* a, const float* b, float* c);

/// dst[j, i] = src[i, j] for src [rows, columns].
void transpose(std::int64_t rows, std::int64_t columns, const float* src, std::int64_t ld_src, float* dst,
               std::int64_t ld_dst);

/// gemm() without the library, for machines that have none; public to the tests.
void portable_gemm(const Gemm& g, const float* a, const float* b, float* c);

}  // namespace dnas::kernels
