#include "core/planned_view.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::kernels {

int alignment_of(const void* address) noexcept {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 16U;
  return static_cast<int>(bits & ~(bits - 1));
}

void check_planned(const check::Where& where, TensorView view, const Shape& shape, DType dtype) {
  if (view.data == nullptr) view.data = &view;  // any address does for a check
  check::shaped(where, view, shape, dtype);
}

void PlannedView::check(const check::Where& where, const TensorView& view) const {
  check::shaped(where, view, shape_, dtype_);
  if (view.pixel_stride != pixel_stride_) {
    throw ShapeError(
        fmt::format("{} has pixel stride {}, planned with {}", where.text(), view.pixel_stride, pixel_stride_));
  }
  if (alignment_of(view.data) < alignment_) {
    throw ShapeError(
        fmt::format("{} is aligned to {} bytes, planned with {}", where.text(), alignment_of(view.data), alignment_));
  }
}

}  // namespace dnas::kernels
