#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

// Instructions that CUDA C++ has no name for. The only place with inline PTX; the tests put functions with the same
// names and effects in place of this file (tests/simt/include/core/ptx.cuh), so a new one comes with its host version
// and a test against a plain loop. Each applies to a whole warp unless it says otherwise: all 32 lanes call it, from
// one line.
namespace dnas::kernels::cuda {

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

/// x, but the compiler no longer knows what it is: what depends on it is computed again where it is needed, instead of
/// once for all and kept in registers that inner loops lack. Of a single thread.
__device__ __forceinline__ int opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

/// The larger of two, a NaN if one is: fmaxf would drop it, and a network that diverged would look alive. Of a single
/// thread.
__device__ __forceinline__ float larger(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ __forceinline__ float positive_part(float x) {
  return larger(x, 0.0F);
}

// --- tensor cores ---------------------------------------------------------------------------------------------------
// d += a b. With group = lane / 4 and member = lane % 4, a lane holds of d [16, 8] the elements
//   d[0], d[1]: row group, columns 2 member and 2 member + 1;  d[2], d[3]: row group + 8, likewise.

/// a [16, 8], b [8, 8], as to_tf32() makes them: a[0] (group, member), a[1] (group + 8, member), a[2] (group, member +
/// 4), a[3] (group + 8, member + 4); b[0] (row member, column group), b[1] (row member + 4, column group).
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// a [16, 16], b [16, 8], two bfloat16 in a register, the lower column (row of b) in the lower half: a[0] (group, 2
/// member), a[1] (group + 8, 2 member), a[2] (group, 2 member + 8), a[3] (group + 8, 2 member + 8); b[0] (row 2 member,
/// column group), b[1] (row 2 member + 8, column group).
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// x rounded to the 10 mantissa bits of TF32, to nearest, ties away from zero. Of a single thread.
__device__ __forceinline__ unsigned to_tf32(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

/// Four 8x8 matrices of 16-bit elements from shared memory: lane 8 i + j names the 16 bytes of row j of matrix i; r[i]
/// receives of matrix i row group, columns 2 member and 2 member + 1 (with Transposed: rows 2 member and 2 member + 1
/// of column group).
template <bool Transposed = false>
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row) {
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
}

/// Likewise two matrices; lanes 16 to 31 name no row, but call.
template <bool Transposed = false>
__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void* row) {
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
  }
}

// --- asynchronous copies --------------------------------------------------------------------------------------------
// Of a single thread. What a thread copied is visible to it after cp_async_wait, to its block after a barrier as well.
// All copies are waited for before the kernel ends.

/// Starts the copy of Bytes (4, 8 or 16) from global to shared memory; of them `valid` are read, the rest becomes 0.
/// Both addresses are aligned to Bytes (the source need not be if valid is 0, but must not be null).
template <int Bytes>
__device__ __forceinline__ void cp_async(void* to, const void* from, int valid = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid),
                 "n"(Bytes)
                 : "memory");
  }
}

/// Closes the group of copies started since the last one.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most the last `Pending` groups are still under way.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace dnas::kernels::cuda
