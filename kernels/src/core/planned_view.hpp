#pragma once

#include "core/check.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>

namespace dnas::kernels {

/// Of a library's workspace, in bytes: cublasLtMatmul() asks for it, and cudaMalloc() gives it.
inline constexpr std::size_t library_workspace_alignment = 256;

/// The largest power of two up to 16 that divides an address; 16, all that any kernel asks for, for null. A plan may be
/// made before there is memory.
[[nodiscard]] int alignment_of(const void* address) noexcept;

/// As check::shaped(), of a view that need not have memory yet.
void check_planned(const check::Where& where, TensorView view, const Shape& shape, DType dtype);

/// What a library's plan assumes of a tensor. A run has to bring one that is the same, but for the address.
class PlannedView {
 public:
  PlannedView() = default;
  explicit PlannedView(const TensorView& view)
      : shape_(view.shape), pixel_stride_(view.pixel_stride), alignment_(alignment_of(view.data)), dtype_(view.dtype) {}

  /// @throws ShapeError, DtypeError
  void check(const check::Where& where, const TensorView& view) const;

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::int64_t pixel_stride() const noexcept { return pixel_stride_; }
  [[nodiscard]] int alignment() const noexcept { return alignment_; }  ///< bytes, at least
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }

 private:
  Shape shape_;
  std::int64_t pixel_stride_ = 0;
  int alignment_ = 0;
  DType dtype_ = DType::f32;
};

}  // namespace dnas::kernels
