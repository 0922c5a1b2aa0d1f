#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace dnas::kernels::cuda {

/// `Width` floats that are loaded and stored by one instruction: 4 (16 bytes, the widest there is) or 1.
template <int Width>
struct alignas(Width * sizeof(float)) Vec {
  static_assert(Width == 1 || Width == 4);
  float lane[Width];
};

template <int Width>
__device__ __forceinline__ Vec<Width> load(const float* p) {
  return *reinterpret_cast<const Vec<Width>*>(p);
}

template <int Width>
__device__ __forceinline__ void store(float* p, const Vec<Width>& value) {
  *reinterpret_cast<Vec<Width>*>(p) = value;
}

/// Whether Vec<4> may be used at p.
[[nodiscard]] inline bool aligned16(const void* p) noexcept {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

}  // namespace dnas::kernels::cuda
