#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace dnas {

/// Extents of a dense tensor of rank 0 to 4. Images are [N, H, W, C].
class Shape {
 public:
  static constexpr int max_rank = 4;

  constexpr Shape() = default;
  /// @throws ShapeError if there are more than max_rank extents or one is negative
  Shape(std::initializer_list<std::int64_t> extents);

  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  /// Extent of axis `axis`; a negative axis counts from the end (-1 is the channel axis).
  [[nodiscard]] constexpr std::int64_t operator[](int axis) const noexcept {
    return extents_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)];
  }
  /// Product of all extents; 1 for rank 0.
  [[nodiscard]] std::int64_t elements() const noexcept;

  /// All extents, as files state them.
  [[nodiscard]] std::vector<std::int64_t> extents() const;

  /// "[64, 32, 32, 16]"
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const Shape& a, const Shape& b) noexcept = default;

 private:
  std::array<std::int64_t, max_rank> extents_{};  // unused extents stay 0, so that == is memberwise
  int rank_ = 0;
};

}  // namespace dnas
