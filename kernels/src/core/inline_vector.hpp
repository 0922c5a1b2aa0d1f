#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace dnas::kernels {

/// Up to `capacity` elements in place: nothing is allocated, and what is not used is not initialised either.
template <typename T, std::size_t capacity>
class InlineVector {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  InlineVector() noexcept = default;  // leaves the memory as it is, where nobody asks for zeros
  InlineVector(const InlineVector&) = delete;
  InlineVector& operator=(const InlineVector&) = delete;

  T& emplace_back() {
    assert(size_ < capacity);
    return *std::construct_at(data() + size_++);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }

 private:
  [[nodiscard]] T* data() noexcept { return reinterpret_cast<T*>(memory_); }
  [[nodiscard]] const T* data() const noexcept { return reinterpret_cast<const T*>(memory_); }

  alignas(T) std::byte memory_[capacity * sizeof(T)];
  std::size_t size_ = 0;
};

}  // namespace dnas::kernels
