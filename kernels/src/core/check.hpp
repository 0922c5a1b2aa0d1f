#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>
#include <string_view>

// Argument checks of the public functions. `where` is "operation: argument", the start of the message.
namespace dnas::kernels::check {

/// Not null, of this dtype, pixel_stride at least the channel count.
void tensor(std::string_view where, const TensorView& t, DType dtype = DType::f32);

/// As tensor(), and of exactly this shape.
void shaped(std::string_view where, const TensorView& t, const Shape& shape, DType dtype = DType::f32);

/// As shaped(), and without gaps between pixels.
void dense(std::string_view where, const TensorView& t, const Shape& shape, DType dtype = DType::f32);

/// As tensor(), and of this rank.
void ranked(std::string_view where, const TensorView& t, int rank, DType dtype = DType::f32);

/// At least `needed` bytes, 64-byte aligned.
void workspace(std::string_view operation, std::span<std::byte> workspace, std::size_t needed);

}  // namespace dnas::kernels::check
