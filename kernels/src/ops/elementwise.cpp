#include "dnas/kernels/elementwise.hpp"

#include "core/check.hpp"
#include "ops/elementwise_cpu.hpp"

namespace dnas::kernels {

void relu_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  check::tensor("relu_forward: x", x);
  check::shaped("relu_forward: y", y, x.shape);
  cpu::relu_forward(ctx, x, y);
}

void relu_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write) {
  check::tensor("relu_backward: y", y);
  check::shaped("relu_backward: dy", dy, y.shape);
  check::shaped("relu_backward: dx", dx, y.shape);
  cpu::relu_backward(ctx, y, dy, dx, write);
}

void relu6_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  check::tensor("relu6_forward: x", x);
  check::shaped("relu6_forward: y", y, x.shape);
  cpu::relu6_forward(ctx, x, y);
}

void relu6_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write) {
  check::tensor("relu6_backward: y", y);
  check::shaped("relu6_backward: dy", dy, y.shape);
  check::shaped("relu6_backward: dx", dx, y.shape);
  cpu::relu6_backward(ctx, y, dy, dx, write);
}

void copy(const Context& ctx, const TensorView& x, const TensorView& y, Write write) {
  check::tensor("copy: x", x);
  check::shaped("copy: y", y, x.shape);
  cpu::copy(ctx, x, y, write);
}

void fill(const Context& ctx, float value, const TensorView& y) {
  check::tensor("fill: y", y);
  cpu::fill(ctx, value, y);
}

}  // namespace dnas::kernels
