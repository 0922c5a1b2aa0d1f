#pragma once

// Stands in for kernels/src/core/ptx.cuh in the tests, which says what each function does.
#include "simt/executor/tensor_core.hpp"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <bit>
#include <cmath>

namespace dnas::kernels::cuda {

using dnas::simt::Place;

inline int opaque(int x) {
  return x;
}

inline float larger(float a, float b) {
  if (a == b) return std::signbit(a) ? b : a;  // 0 is larger than -0
  return isnan(a) || a > b ? a : b;
}
inline float positive_part(float x) {
  return larger(x, 0.0F);
}

// --- tensor cores ---------------------------------------------------------------------------------------------------

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const Place& place = Place::current()) {
  dnas::simt::mma_tf32(d, a, b, place);
}

inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const Place& place = Place::current()) {
  dnas::simt::mma_bf16(d, a, b, place);
}

inline unsigned to_tf32(float x) {
  const auto bits = std::bit_cast<unsigned>(x);
  return isfinite(x) ? (bits + 0x1000U) & ~0x1FFFU : bits;
}

template <bool Transposed = false>
void ldmatrix_x4(unsigned (&r)[4], const void* row, const Place& place = Place::current()) {
  dnas::simt::ldmatrix<4, Transposed>(r, row, place);
}

template <bool Transposed = false>
void ldmatrix_x2(unsigned (&r)[2], const void* row, const Place& place = Place::current()) {
  dnas::simt::ldmatrix<2, Transposed>(r, row, place);
}

// --- asynchronous copies --------------------------------------------------------------------------------------------

template <int Bytes>
void cp_async(void* to, const void* from, int valid = Bytes, const Place& place = Place::current()) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  dnas::simt::running_block->start_copy(to, from, Bytes, valid, place);
}

inline void cp_async_commit() {
  dnas::simt::running_block->copies().commit();
}

template <int Pending>
void cp_async_wait() {
  static_assert(Pending >= 0);
  dnas::simt::running_block->copies().wait(Pending);
}

}  // namespace dnas::kernels::cuda
