#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace dnas::simt {

/// Floats that start at a 16-byte boundary, or `offset` floats behind one, filled with a reproducible normal sample.
/// Guard values on both sides are checked by intact().
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count, std::uint64_t seed, std::size_t offset = 0)
      : count_(count), memory_(count + 16, guard) {
    const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(memory_.data()) % 16 / sizeof(float);
    begin_ = 4 + (4 - misaligned) % 4 + offset;
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (float& value : values())
      value = normal(random);
  }

  // A copy would land on another alignment.
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&&) noexcept = default;  // keeps its memory
  DeviceArray& operator=(DeviceArray&&) noexcept = default;
  ~DeviceArray() = default;

  [[nodiscard]] std::span<float> values() { return std::span(memory_).subspan(begin_, count_); }
  [[nodiscard]] float* data() { return values().data(); }
  [[nodiscard]] std::vector<double> to_double() { return {values().begin(), values().end()}; }

  [[nodiscard]] bool intact() const {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      if ((i < begin_ || i >= begin_ + count_) && memory_[i] != guard) return false;
    }
    return true;
  }

 private:
  static constexpr float guard = -12345.0F;
  std::size_t count_;
  std::vector<float> memory_;
  std::size_t begin_ = 0;
};

}  // namespace dnas::simt
