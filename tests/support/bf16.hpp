#pragma once

#include "support/tensors.hpp"

#include <bit>
#include <cmath>
#include <cstdint>

namespace dnas::test {

/// The upper half of an f32, rounded to nearest, ties to even.
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);  // rounding might make it infinite
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

/// With every element rounded to what bfloat16 holds.
inline Tensor rounded_to_bf16(Tensor t) {
  for (std::int64_t i = 0; i < t.size(); ++i)
    t[i] = from_bf16(to_bf16(t[i]));
  return t;
}

}  // namespace dnas::test
