#pragma once

#include <array>
#include <cstdint>

namespace dnas::kernels {

/// Which of its three products an operation with a weight computes: y from x and w; dx from dy and w; dw from x and dy.
/// Where a plan or a run takes views in their roles x, w and y, the one that is computed is written.
enum class Pass : std::uint8_t { forward, backward_data, backward_weight };

/// What messages call x, w and y.
[[nodiscard]] constexpr std::array<const char*, 3> names_of(Pass pass) noexcept {
  switch (pass) {
    case Pass::forward:
      return {"x", "w", "y"};
    case Pass::backward_data:
      return {"dx", "w", "dy"};
    default:
      return {"x", "dw", "dy"};
  }
}

}  // namespace dnas::kernels
