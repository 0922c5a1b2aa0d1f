#include "dnas/kernels/bias.hpp"

#include "core/check.hpp"
#include "ops/bias_cpu.hpp"

namespace dnas::kernels {

void bias_forward(const Context& ctx, const TensorView& x, const TensorView& b, const TensorView& y) {
  check::tensor("bias_forward: x", x);
  check::dense("bias_forward: b", b, Shape{x.channels()});
  check::shaped("bias_forward: y", y, x.shape);
  cpu::bias_forward(ctx, x, b, y);
}

std::size_t bias_workspace(const Shape& dy) {
  return cpu::bias_workspace(dy);
}

void bias_backward(const Context& ctx, const TensorView& dy, const TensorView& db, Write write,
                   std::span<std::byte> workspace) {
  check::tensor("bias_backward: dy", dy);
  check::dense("bias_backward: db", db, Shape{dy.channels()});
  check::workspace("bias_backward", workspace, bias_workspace(dy.shape));
  cpu::bias_backward(ctx, dy, db, write, reinterpret_cast<double*>(workspace.data()));
}

}  // namespace dnas::kernels
