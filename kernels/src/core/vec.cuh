#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace dnas::kernels::cuda {

/// Storage in half the bytes of f32; arithmetic is in f32.
using Bf16 = __nv_bfloat16;

/// `Width` floats that are loaded and stored by one instruction: 4 (16 bytes, the widest there is), 2 or 1.
template <int Width>
struct alignas(Width * sizeof(float)) Vec {
  static_assert(Width == 1 || Width == 2 || Width == 4);
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

/// The two bfloat16 of a register, the first in the lower half.
__device__ __forceinline__ Vec<2> unpack(unsigned pair) {
  return {{__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000U)}};
}

/// Rounds to nearest even.
__device__ __forceinline__ unsigned pack(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const unsigned*>(&pair);
}

/// Likewise of bfloat16 (8, 4 or 2 bytes), widened and rounded to nearest even.
template <int Width>
__device__ __forceinline__ Vec<Width> load(const Bf16* p) {
  if constexpr (Width == 1) {
    return {{__bfloat162float(*p)}};
  } else if constexpr (Width == 2) {
    return unpack(*reinterpret_cast<const unsigned*>(p));
  } else {
    const uint2 bits = *reinterpret_cast<const uint2*>(p);
    const Vec<2> low = unpack(bits.x);
    const Vec<2> high = unpack(bits.y);
    return {{low.lane[0], low.lane[1], high.lane[0], high.lane[1]}};
  }
}

template <int Width>
__device__ __forceinline__ void store(Bf16* p, const Vec<Width>& value) {
  if constexpr (Width == 1) {
    *p = __float2bfloat16_rn(value.lane[0]);
  } else if constexpr (Width == 2) {
    *reinterpret_cast<unsigned*>(p) = pack(value.lane[0], value.lane[1]);
  } else {
    *reinterpret_cast<uint2*>(p) = {pack(value.lane[0], value.lane[1]), pack(value.lane[2], value.lane[3])};
  }
}

/// Elements of 16 bytes.
template <typename T>
inline constexpr int elements16 = 16 / static_cast<int>(sizeof(T));

/// 16 bytes as f32, and back. The addresses are aligned to 16.
__device__ __forceinline__ void load16(const float* p, float (&value)[4]) {
  const Vec<4> v = load<4>(p);
#pragma unroll
  for (int i = 0; i < 4; ++i)
    value[i] = v.lane[i];
}
__device__ __forceinline__ void load16(const Bf16* p, float (&value)[8]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(p);
  const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Vec<2> pair = unpack(pairs[i]);
    value[2 * i] = pair.lane[0];
    value[2 * i + 1] = pair.lane[1];
  }
}
__device__ __forceinline__ void store16(float* p, const float (&value)[4]) {
  store(p, Vec<4>{{value[0], value[1], value[2], value[3]}});
}
__device__ __forceinline__ void store16(Bf16* p, const float (&value)[8]) {
  *reinterpret_cast<uint4*>(p) = {pack(value[0], value[1]), pack(value[2], value[3]), pack(value[4], value[5]),
                                  pack(value[6], value[7])};
}

/// The value a store leaves in memory.
__device__ __forceinline__ float as_stored(float value, const float* /*type*/) {
  return value;
}
__device__ __forceinline__ float as_stored(float value, const Bf16* /*type*/) {
  return __bfloat162float(__float2bfloat16_rn(value));
}

/// Whether Vec<4> may be used at p.
[[nodiscard]] inline bool aligned16(const void* p) noexcept {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

}  // namespace dnas::kernels::cuda
