#pragma once

#include "dnas/kernels/buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace dnas::kernels {

/// Hands out a workspace piece by piece, every piece aligned to a cache line. With no memory it only counts, so that
/// one function describes a workspace for both its size and its use.
class Carver {
 public:
  explicit Carver(std::span<std::byte> memory) : memory_(memory.data()) {}

  /// The next `count` floats; null when only counting.
  float* floats(std::int64_t count) {
    return static_cast<float*>(take(static_cast<std::size_t>(count) * sizeof(float)));
  }
  double* doubles(std::int64_t count) {
    return static_cast<double*>(take(static_cast<std::size_t>(count) * sizeof(double)));
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return used_; }

 private:
  void* take(std::size_t bytes) {
    void* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + Buffer::alignment - 1) / Buffer::alignment * Buffer::alignment;
    return piece;
  }

  std::byte* memory_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace dnas::kernels
