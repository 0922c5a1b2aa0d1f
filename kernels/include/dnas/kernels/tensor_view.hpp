#pragma once

#include "dnas/kernels/dtype.hpp"
#include "dnas/kernels/shape.hpp"

#include <cstddef>
#include <cstdint>

namespace dnas {

/// A tensor somebody else owns: pointer, shape, layout and element type. Trivially copyable.
///
/// The last axis is contiguous. All earlier axes are dense over it, with `pixel_stride` elements from one
/// pixel (one run of the last axis) to the next. A tensor that stands alone has pixel_stride == channels();
/// a slice of the channels of a wider tensor (how concatenation costs nothing) has a larger one.
struct TensorView {
  void* data = nullptr;
  Shape shape;
  std::int64_t pixel_stride = 0;  ///< elements; >= channels()
  DType dtype = DType::f32;

  TensorView() = default;
  /// A dense tensor.
  TensorView(void* data_, const Shape& shape_, DType dtype_ = DType::f32)
      : data(data_), shape(shape_), pixel_stride(shape_.rank() > 0 ? shape_[-1] : 1), dtype(dtype_) {}
  /// A slice of the channels of a wider tensor.
  TensorView(void* data_, const Shape& shape_, std::int64_t pixel_stride_, DType dtype_ = DType::f32)
      : data(data_), shape(shape_), pixel_stride(pixel_stride_), dtype(dtype_) {}

  [[nodiscard]] explicit operator bool() const noexcept { return data != nullptr; }
  [[nodiscard]] std::int64_t channels() const noexcept { return shape.rank() > 0 ? shape[-1] : 1; }
  [[nodiscard]] std::int64_t elements() const noexcept { return shape.elements(); }
  /// Product of all axes but the last.
  [[nodiscard]] std::int64_t pixels() const noexcept {
    const std::int64_t c = channels();
    return c == 0 ? 0 : elements() / c;
  }
  [[nodiscard]] bool dense() const noexcept { return pixel_stride == channels(); }

  [[nodiscard]] float* f32() const noexcept { return static_cast<float*>(data); }
  [[nodiscard]] std::uint8_t* u8() const noexcept { return static_cast<std::uint8_t*>(data); }
  [[nodiscard]] std::int64_t* i64() const noexcept { return static_cast<std::int64_t*>(data); }
};

/// What a kernel does with the memory it writes to.
enum class Write : std::uint8_t {
  overwrite,   ///< y = result; old contents may be anything, NaN included
  accumulate,  ///< y += result
};

}  // namespace dnas
