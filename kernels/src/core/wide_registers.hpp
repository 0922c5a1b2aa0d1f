#pragma once

#include "core/simd.hpp"

namespace dnas::kernels {

/// Whether DNAS_MULTIVERSION functions will run as AVX-512, with 32 registers of 16 floats: inner loops then keep twice
/// the partial sums. Sums of one output are added in the same order either way.
inline bool wide_registers() noexcept {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return __builtin_cpu_supports("x86-64-v4") != 0;
#else
  return false;
#endif
}

}  // namespace dnas::kernels
