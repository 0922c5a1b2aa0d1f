#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels {

// A bias per channel. x, y, dy: [..., C] f32, any may be a channel slice; b, db: [C] f32 dense. Host only: there is no
// CUDA version yet.

/// y = x + b in every pixel; y may be x. The gradient by x is dy as it is.
/// @throws ShapeError, DtypeError naming the argument
void bias_forward(const Context& ctx, const TensorView& x, const TensorView& b, const TensorView& y);

/// Scratch bytes for bias_backward; depends on the shape only. Must be 64-byte aligned.
[[nodiscard]] std::size_t bias_workspace(const Shape& dy);

/// db (+)= sum of dy over all pixels: f32 over at most 128 terms, those in f64, in an order that depends on the shape
/// only. Bitwise repeatable.
/// @throws ShapeError, DtypeError naming the argument
void bias_backward(const Context& ctx, const TensorView& dy, const TensorView& db, Write write,
                   std::span<std::byte> workspace);

}  // namespace dnas::kernels
