#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <type_traits>

// Arithmetic that CUDA has and the C library lacks. The fast variants are exact here, or nearly so.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the names are CUDA's.

inline float rsqrtf(float x) {
  return 1.0F / sqrtf(x);
}
inline double rsqrt(double x) {
  return 1.0 / sqrt(x);
}

// glibc declares these itself and defines them nowhere.
extern "C" {
inline float __expf(float x) noexcept {
  return expf(x);
}
inline float __logf(float x) noexcept {
  return logf(x);
}
inline float __log2f(float x) noexcept {
  return log2f(x);
}
inline float __powf(float x, float y) noexcept {
  return powf(x, y);
}
inline float __sinf(float x) noexcept {
  return sinf(x);
}
inline float __cosf(float x) noexcept {
  return cosf(x);
}
}

inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __saturatef(float x) {
  return fminf(fmaxf(x, 0.0F), 1.0F);
}
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fsub_rn(float x, float y) {
  return x - y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return fmaf(x, y, z);
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __fsqrt_rn(float x) {
  return sqrtf(x);
}
inline float __frcp_rn(float x) {
  return 1.0F / x;
}
inline float __frsqrt_rn(float x) {
  return rsqrtf(x);
}

// Through double, whose 53 bits leave the result right to the last bit of f32 but for ties.
inline void sincospif(float x, float* sine, float* cosine) {
  constexpr double pi = 3.14159265358979323846;
  const double turn = fmod(static_cast<double>(x), 2.0);
  *sine = static_cast<float>(sin(pi * turn));
  *cosine = static_cast<float>(cos(pi * turn));
  if (fmod(turn, 1.0) == 0.0) *sine = copysignf(0.0F, x);
  if (fabs(fmod(turn, 1.0)) == 0.5) *cosine = 0.0F;
}
// Of C23: new versions of glibc have these, declared so.
extern "C" {
inline float sinpif(float x) noexcept {
  float sine = 0.0F;
  float cosine = 0.0F;
  sincospif(x, &sine, &cosine);
  return sine;
}
inline float cospif(float x) noexcept {
  float sine = 0.0F;
  float cosine = 0.0F;
  sincospif(x, &sine, &cosine);
  return cosine;
}
// As far from the nearest multiple of 1/2 as x is, which is exact, so that it is right where it is nearly 0.
inline double cospi(double x) noexcept {
  constexpr double pi = 3.14159265358979323846;
  const double turn = fabs(fmod(x, 2.0));
  const double half = turn > 1.0 ? 2.0 - turn : turn;
  if (half <= 0.25) return cos(pi * half);
  if (half < 0.75) return sin(pi * (0.5 - half));
  return -cos(pi * (1.0 - half));
}
}

// Of two floats the one that is a number, as fminf and fmaxf.
template <typename T>
requires std::is_arithmetic_v<T>
constexpr T min(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return x < y || y != y ? x : y;
  } else {
    return y < x ? y : x;
  }
}
template <typename T>
requires std::is_arithmetic_v<T>
constexpr T max(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return x > y || y != y ? x : y;
  } else {
    return x < y ? y : x;
  }
}

// --- bits -----------------------------------------------------------------------------------------------------------

inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline float __int_as_float(int bits) {
  return std::bit_cast<float>(bits);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long bits) {
  return std::bit_cast<double>(bits);
}
inline int __float2int_rn(float x) {
  return static_cast<int>(lrintf(x));
}
inline int __float2int_rd(float x) {
  return static_cast<int>(floorf(x));
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(std::uint64_t{x} * y >> 32U);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
