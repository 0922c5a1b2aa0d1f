#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

// Argument checks of the public functions.
namespace dnas::kernels::check {

/// The start of a message: "operation: argument", or "operation: argument[index]". Put together only when a check
/// fails: a step must not allocate.
class Where {
 public:
  /// @param whole  "operation: argument"
  Where(const char* whole) : operation_(whole) {}
  Where(std::string_view operation, std::string_view argument) : operation_(operation), argument_(argument) {}
  Where(std::string_view operation, std::string_view argument, std::size_t index)
      : operation_(operation), argument_(argument), index_(static_cast<std::ptrdiff_t>(index)) {}

  [[nodiscard]] std::string text() const;

 private:
  std::string_view operation_;
  std::string_view argument_;
  std::ptrdiff_t index_ = -1;
};

/// Not null, of this dtype, pixel_stride at least the channel count.
void tensor(const Where& where, const TensorView& t, DType dtype = DType::f32);

/// As tensor(), and of exactly this shape.
void shaped(const Where& where, const TensorView& t, const Shape& shape, DType dtype = DType::f32);

/// As shaped(), and without gaps between pixels.
void dense(const Where& where, const TensorView& t, const Shape& shape, DType dtype = DType::f32);

/// As tensor(), and of this rank.
void ranked(const Where& where, const TensorView& t, int rank, DType dtype = DType::f32);

/// At least `needed` bytes, aligned as a Buffer or as asked.
void workspace(std::string_view operation, std::span<std::byte> workspace, std::size_t needed,
               std::size_t alignment = Buffer::alignment);

}  // namespace dnas::kernels::check
