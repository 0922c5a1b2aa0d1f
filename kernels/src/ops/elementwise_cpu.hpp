#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

// Host twins of elementwise.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void relu_forward(const Context& ctx, const TensorView& x, const TensorView& y);
void relu_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write);
void relu6_forward(const Context& ctx, const TensorView& x, const TensorView& y);
void relu6_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write);
void copy(const Context& ctx, const TensorView& x, const TensorView& y, Write write);
void fill(const Context& ctx, float value, const TensorView& y);

}  // namespace dnas::kernels::cpu
