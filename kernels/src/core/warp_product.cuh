#pragma once

#include "core/product.hpp"
#include "core/ptx.cuh"
#include "core/vec.cuh"

#include <type_traits>

// Matrix products of one warp on the tensor cores, with operands in shared memory and results in registers.
namespace dnas::kernels::cuda {

/// The type of the operands in shared memory, and of the tensors of an operation that computes this way.
template <Product P>
using Operand = std::conditional_t<P == Product::bf16, Bf16, float>;

/// Columns (the summed index) that one instruction takes; the depth of a product is a multiple of it.
template <Product P>
inline constexpr int depth_step = P == Product::bf16 ? 16 : 8;

/// Elements from row to row of an operand in shared memory with `columns` (a multiple of 16) columns: rows are 16-byte
/// aligned, and the eight rows that a fragment touches at a time lie in different banks.
template <Product P>
[[nodiscard]] __host__ __device__ constexpr int operand_pitch(int columns) noexcept {
  return columns + (P == Product::bf16 ? 8 : 4);
}

__device__ __forceinline__ void store_operand(float* to, float value) {
  *to = value;
}
__device__ __forceinline__ void store_operand(Bf16* to, float value) {
  *to = __float2bfloat16_rn(value);
}

namespace detail {

/// d += a b of TF32 fragments given as f32.
template <Product P>
__device__ __forceinline__ void multiply_f32(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  unsigned a_high[4];
  unsigned b_high[2];
  for (int i = 0; i < 4; ++i)
    a_high[i] = to_tf32(a[i]);
  for (int i = 0; i < 2; ++i)
    b_high[i] = to_tf32(b[i]);
  if constexpr (P == Product::tf32x3) {
    unsigned a_low[4];
    unsigned b_low[2];
    for (int i = 0; i < 4; ++i)
      a_low[i] = to_tf32(a[i] - __uint_as_float(a_high[i]));
    for (int i = 0; i < 2; ++i)
      b_low[i] = to_tf32(b[i] - __uint_as_float(b_high[i]));
    mma_tf32(d, a_low, b_high);  // the small products first
    mma_tf32(d, a_high, b_low);
  }
  mma_tf32(d, a_high, b_high);
}

}  // namespace detail

/// d[j] += A B_j^T for j < Tiles: A [16, Depth], B [8 Tiles, Depth], both by rows in shared memory, `a` and `b` at
/// their first elements. d[j] is an accumulator of ptx.cuh: rows of A, rows 8 j to 8 j + 7 of B.
template <Product P, int Depth, int Tiles>
__device__ __forceinline__ void multiply_rows(float (&d)[Tiles][4], const Operand<P>* a, int a_pitch,
                                              const Operand<P>* b, int b_pitch) {
  static_assert(Depth % depth_step<P> == 0);
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 2
  for (int k = 0; k < Depth; k += depth_step<P>) {
    if constexpr (P == Product::bf16) {
      unsigned a_pair[4];
      ldmatrix_x4(a_pair, a + (lane % 16) * a_pitch + k + lane / 16 * 8);
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        unsigned b_pair[2];
        ldmatrix_x2(b_pair, b + (8 * j + lane % 8) * b_pitch + k + lane / 8 % 2 * 8);
        mma_bf16(d[j], a_pair, b_pair);
      }
    } else {
      const float* const row = a + (lane / 4) * a_pitch + k + lane % 4;
      const float a_value[4] = {row[0], row[8 * a_pitch], row[4], row[8 * a_pitch + 4]};
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        const float* const column = b + (8 * j + lane / 4) * b_pitch + k + lane % 4;
        const float b_value[2] = {column[0], column[4]};
        detail::multiply_f32<P>(d[j], a_value, b_value);
      }
    }
  }
}

/// d[j] += A^T B_j for j < Tiles: A [Depth, 16], B [Depth, 8 Tiles], both by rows in shared memory: products summed
/// over the rows of both, as gradients of weights are. d[j]: columns of A, columns 8 j to 8 j + 7 of B.
template <Product P, int Depth, int Tiles>
__device__ __forceinline__ void multiply_columns(float (&d)[Tiles][4], const Operand<P>* a, int a_pitch,
                                                 const Operand<P>* b, int b_pitch) {
  static_assert(Depth % depth_step<P> == 0);
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 2
  for (int k = 0; k < Depth; k += depth_step<P>) {
    if constexpr (P == Product::bf16) {
      unsigned a_pair[4];
      ldmatrix_x4<true>(a_pair, a + (k + lane % 8 + lane / 16 * 8) * a_pitch + lane / 8 % 2 * 8);
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        unsigned b_pair[2];
        ldmatrix_x2<true>(b_pair, b + (k + lane % 16) * b_pitch + 8 * j);
        mma_bf16(d[j], a_pair, b_pair);
      }
    } else {
      const float* const row = a + (k + lane % 4) * a_pitch + lane / 4;
      const float a_value[4] = {row[0], row[8], row[4 * a_pitch], row[4 * a_pitch + 8]};
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        const float* const column = b + (k + lane % 4) * b_pitch + 8 * j + lane / 4;
        const float b_value[2] = {column[0], column[4 * b_pitch]};
        detail::multiply_f32<P>(d[j], a_value, b_value);
      }
    }
  }
}

}  // namespace dnas::kernels::cuda
