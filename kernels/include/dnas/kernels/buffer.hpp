#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace dnas {

/// Move-only owner of zeroed host memory, aligned to 64 bytes (one AVX-512 vector, one cache line).
class Buffer {
 public:
  static constexpr std::size_t alignment = 64;

  Buffer() = default;
  /// @throws std::bad_alloc
  explicit Buffer(std::size_t bytes);

  [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
  [[nodiscard]] const std::byte* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// The memory as floats (bytes() / 4 of them).
  [[nodiscard]] std::span<float> f32() noexcept {
    return {reinterpret_cast<float*>(data_.get()), bytes_ / sizeof(float)};
  }
  [[nodiscard]] std::span<const float> f32() const noexcept {
    return {reinterpret_cast<const float*>(data_.get()), bytes_ / sizeof(float)};
  }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace dnas
