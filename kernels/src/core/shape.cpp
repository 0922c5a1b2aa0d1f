#include "dnas/kernels/shape.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>

namespace dnas {

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  if (extents.size() > static_cast<std::size_t>(max_rank)) {
    throw ShapeError(fmt::format("shape: rank {} exceeds the limit of {}", extents.size(), max_rank));
  }
  for (const std::int64_t extent : extents) {
    if (extent < 0) throw ShapeError(fmt::format("shape: negative extent {} on axis {}", extent, rank_));
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }
}

std::int64_t Shape::elements() const noexcept {
  std::int64_t n = 1;
  for (int axis = 0; axis < rank_; ++axis)
    n *= (*this)[axis];
  return n;
}

std::vector<std::int64_t> Shape::extents() const {
  return {extents_.begin(), extents_.begin() + rank_};
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(std::span(extents_.data(), static_cast<std::size_t>(rank_)), ", "));
}

}  // namespace dnas
