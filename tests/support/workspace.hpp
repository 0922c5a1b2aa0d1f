#pragma once

#include "dnas/kernels/buffer.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace dnas::test {

/// Scratch full of NaN, so that reading before writing shows.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : buffer_(bytes) {
    std::ranges::fill(buffer_.f32(), std::numeric_limits<float>::quiet_NaN());
  }
  [[nodiscard]] std::span<std::byte> span() { return {buffer_.data(), buffer_.bytes()}; }

 private:
  Buffer buffer_;
};

}  // namespace dnas::test
