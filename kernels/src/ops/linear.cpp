#include "dnas/kernels/linear.hpp"

#include "core/check.hpp"
#include "ops/linear_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {

namespace {

void check_tensors(std::string_view operation, std::string_view x_name, const TensorView& x, std::string_view w_name,
                   const TensorView& w, std::string_view y_name, const TensorView& y) {
  const auto where = [&](std::string_view name) { return check::Where(operation, name); };
  check::ranked(where(x_name), x, 2);
  check::ranked(where(w_name), w, 2);
  check::dense(where(x_name), x, x.shape);
  check::dense(where(w_name), w, {w.shape[0], x.shape[1]});
  check::dense(where(y_name), y, {x.shape[0], w.shape[0]});
}

}  // namespace

void linear_forward(const Context& ctx, const TensorView& x, const TensorView& w, const TensorView& b,
                    const TensorView& y) {
  check_tensors("linear_forward", "x", x, "w", w, "y", y);
  if (b) check::dense("linear_forward: b", b, {w.shape[0]});
  cpu::linear_forward(ctx, x, w, b, y);
}

void linear_backward_data(const Context& ctx, const TensorView& dy, const TensorView& w, const TensorView& dx,
                          Write write) {
  check_tensors("linear_backward_data", "dx", dx, "w", w, "dy", dy);
  cpu::linear_backward_data(ctx, dy, w, dx, write);
}

void linear_backward_weight(const Context& ctx, const TensorView& x, const TensorView& dy, const TensorView& dw,
                            const TensorView& db) {
  check_tensors("linear_backward_weight", "x", x, "dw", dw, "dy", dy);
  if (db) check::dense("linear_backward_weight: db", db, {dw.shape[0]});
  cpu::linear_backward_weight(ctx, x, dy, dw, db);
}

}  // namespace dnas::kernels
