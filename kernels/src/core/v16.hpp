#pragma once

#include "core/isa.hpp"
#include "core/simd.hpp"

#include <cstring>

// Sixteen floats at a time, in one AVX-512 register, two AVX2 or four SSE ones: V16<16>, V16<8>, V16<4>. GCC splits a
// vector type that is wider than the registers through memory, so the registers' width has to be part of the type,
// and the code that uses it a template that is instantiated per instruction set (DNAS_ISA_VERSIONS).
//
// Vectors are passed by reference and everything that handles them is DNAS_ALWAYS_INLINE: it must become part of the
// function that has the instruction set.
#define DNAS_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace dnas::kernels {

inline constexpr int lanes16 = 16;

namespace detail {

template <int N>
struct Registers;
template <>
struct Registers<16> {
  using Floats = float __attribute__((vector_size(64)));
  using Ints = int __attribute__((vector_size(64)));
};
template <>
struct Registers<8> {
  using Floats = float __attribute__((vector_size(32)));
  using Ints = int __attribute__((vector_size(32)));
};
template <>
struct Registers<4> {
  using Floats = float __attribute__((vector_size(16)));
  using Ints = int __attribute__((vector_size(16)));
};

template <typename Register>
DNAS_ALWAYS_INLINE void load(Register& to, const float* from) {
  std::memcpy(&to, from, sizeof(Register));  // one unaligned move
}
template <typename Register>
DNAS_ALWAYS_INLINE void store(float* to, const Register& from) {
  std::memcpy(to, &from, sizeof(Register));
}

}  // namespace detail

/// Sixteen floats in registers of N.
template <int N>
struct V16 {
  using Register = typename detail::Registers<N>::Floats;
  static constexpr int parts = lanes16 / N;
  /// How many sums, of 16 floats each, the registers hold besides what is multiplied: of 32, 16 and 16.
  static constexpr int tile = N / 2;

  Register part[parts];

  DNAS_ALWAYS_INLINE void clear() {
    for (int i = 0; i < parts; ++i)
      part[i] = Register{};
  }
  DNAS_ALWAYS_INLINE void load(const float* p) {
    for (int i = 0; i < parts; ++i)
      detail::load(part[i], p + i * N);
  }
  DNAS_ALWAYS_INLINE void store(float* p) const {
    for (int i = 0; i < parts; ++i)
      detail::store(p + i * N, part[i]);
  }
  DNAS_ALWAYS_INLINE void add(const float* p) {
    Register x;
    for (int i = 0; i < parts; ++i) {
      detail::load(x, p + i * N);
      part[i] += x;
    }
  }
  DNAS_ALWAYS_INLINE void multiply(const float* p) {
    Register x;
    for (int i = 0; i < parts; ++i) {
      detail::load(x, p + i * N);
      part[i] *= x;
    }
  }
  DNAS_ALWAYS_INLINE void subtract(const V16& x) {
    for (int i = 0; i < parts; ++i)
      part[i] -= x.part[i];
  }
  DNAS_ALWAYS_INLINE void multiply(const V16& x) {
    for (int i = 0; i < parts; ++i)
      part[i] *= x.part[i];
  }
  /// 0 where negative; NaN stays.
  DNAS_ALWAYS_INLINE void relu() {
    for (int i = 0; i < parts; ++i)
      part[i] = part[i] < 0.0F ? Register{} : part[i];
  }
  /// 0 where x is not positive.
  DNAS_ALWAYS_INLINE void keep_where_positive(const V16& x) {
    for (int i = 0; i < parts; ++i)
      part[i] = x.part[i] > 0.0F ? part[i] : Register{};
  }
  /// this += a * b
  DNAS_ALWAYS_INLINE void multiply_add(const V16& a, const V16& b) {
    for (int i = 0; i < parts; ++i)
      part[i] += a.part[i] * b.part[i];
  }
  /// this += factor * [p]
  DNAS_ALWAYS_INLINE void multiply_add(const V16& factor, const float* p) {
    Register x;
    for (int i = 0; i < parts; ++i) {
      detail::load(x, p + i * N);
      part[i] += factor.part[i] * x;
    }
  }
  DNAS_ALWAYS_INLINE void multiply_add(float factor, const float* p) {
    Register x;
    for (int i = 0; i < parts; ++i) {
      detail::load(x, p + i * N);
      part[i] += factor * x;
    }
  }
};

}  // namespace dnas::kernels

/// Defines `void name PARAMETERS`, which calls the function template `body<N> ARGUMENTS` compiled for the best
/// instruction set of the processor, N being the floats in one of its registers.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define DNAS_HAVE_ISA_VERSIONS
#define DNAS_ISA_VERSIONS(name, body, parameters, arguments)            \
  __attribute__((target("arch=x86-64-v4"))) void name##_v4 parameters { \
    body<16> arguments;                                                 \
  }                                                                     \
  __attribute__((target("arch=x86-64-v3"))) void name##_v3 parameters { \
    body<8> arguments;                                                  \
  }                                                                     \
  void name##_baseline parameters {                                     \
    body<4> arguments;                                                  \
  }                                                                     \
  void name parameters {                                                \
    switch (isa()) {                                                    \
      case Isa::avx512:                                                 \
        return name##_v4 arguments;                                     \
      case Isa::avx2:                                                   \
        return name##_v3 arguments;                                     \
      case Isa::baseline:                                               \
        return name##_baseline arguments;                               \
    }                                                                   \
  }
#else
#define DNAS_ISA_VERSIONS(name, body, parameters, arguments) \
  void name parameters {                                     \
    body<4> arguments;                                       \
  }
#endif
