#pragma once

// Sixteen floats at a time, whatever the instruction set: one AVX-512 register, two AVX2 or four SSE ones.
//
// Vectors are only ever touched through references into memory or as locals: passing one by value would tie the
// function to an instruction set. For the same reason everything that handles them is DNAS_ALWAYS_INLINE, so that it
// becomes part of the DNAS_MULTIVERSION function that calls it.
#define DNAS_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace dnas::kernels {

inline constexpr int lanes16 = 16;

using V16 = float __attribute__((vector_size(64)));
using I16 = int __attribute__((vector_size(64)));

namespace detail {
using V16InMemory = float __attribute__((vector_size(64), aligned(4), may_alias));
using I16InMemory = int __attribute__((vector_size(64), aligned(4), may_alias));
using V8InMemory = float __attribute__((vector_size(32), aligned(4), may_alias));
using V4InMemory = float __attribute__((vector_size(16), aligned(4), may_alias));
}  // namespace detail

/// The sixteen floats at `p`, which need not be aligned.
DNAS_ALWAYS_INLINE const detail::V16InMemory& v16(const float* p) {
  return *reinterpret_cast<const detail::V16InMemory*>(p);
}
DNAS_ALWAYS_INLINE detail::V16InMemory& v16(float* p) {
  return *reinterpret_cast<detail::V16InMemory*>(p);
}

/// The same memory as sixteen 32-bit integers.
DNAS_ALWAYS_INLINE const detail::I16InMemory& i16(const float* p) {
  return *reinterpret_cast<const detail::I16InMemory*>(p);
}
DNAS_ALWAYS_INLINE detail::I16InMemory& i16(float* p) {
  return *reinterpret_cast<detail::I16InMemory*>(p);
}

DNAS_ALWAYS_INLINE const detail::V8InMemory& v8(const float* p) {
  return *reinterpret_cast<const detail::V8InMemory*>(p);
}
DNAS_ALWAYS_INLINE detail::V8InMemory& v8(float* p) {
  return *reinterpret_cast<detail::V8InMemory*>(p);
}

DNAS_ALWAYS_INLINE const detail::V4InMemory& v4(const float* p) {
  return *reinterpret_cast<const detail::V4InMemory*>(p);
}
DNAS_ALWAYS_INLINE detail::V4InMemory& v4(float* p) {
  return *reinterpret_cast<detail::V4InMemory*>(p);
}

}  // namespace dnas::kernels
