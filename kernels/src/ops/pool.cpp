#include "dnas/kernels/pool.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/pool_cpu.hpp"
#include "ops/window_check.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

Shape output_of(std::string_view operation, const Pool& pool, const Shape& x) {
  const Shape output = window_output(operation, {pool.kernel, pool.stride, 1, pool.padding}, x);
  if (pool.padding >= pool.kernel) {
    throw ShapeError(
        fmt::format("{}: padding is {}, expected less than kernel {}, so that no window lies in the padding", operation,
                    pool.padding, pool.kernel));
  }
  return output;
}

/// The image of a global pool [N, H, W, C].
void check_image(const check::Where& where, const TensorView& image) {
  check::ranked(where, image, 4);
  if (image.elements() == 0) {
    throw ShapeError(fmt::format("{} is {}, expected no empty axes", where.text(), image.shape.to_string()));
  }
}

}  // namespace

Shape Pool::output_shape(const Shape& x) const {
  return output_of("pool", *this, x);
}

void max_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y,
                      const TensorView& argmax) {
  const Shape output = output_of("max_pool_forward", pool, x.shape);
  check::tensor("max_pool_forward: x", x);
  check::shaped("max_pool_forward: y", y, output);
  check::dense("max_pool_forward: argmax", argmax, output, DType::u8);
  cpu::max_pool_forward(ctx, pool, x, y, argmax);
}

void max_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& argmax,
                       const TensorView& dx, Write write) {
  const Shape output = output_of("max_pool_backward", pool, dx.shape);
  check::shaped("max_pool_backward: dy", dy, output);
  check::dense("max_pool_backward: argmax", argmax, output, DType::u8);
  check::tensor("max_pool_backward: dx", dx);
  cpu::max_pool_backward(ctx, pool, dy, argmax, dx, write);
}

void avg_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y) {
  const Shape output = output_of("avg_pool_forward", pool, x.shape);
  check::tensor("avg_pool_forward: x", x);
  check::shaped("avg_pool_forward: y", y, output);
  cpu::avg_pool_forward(ctx, pool, x, y);
}

void avg_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& dx, Write write) {
  const Shape output = output_of("avg_pool_backward", pool, dx.shape);
  check::shaped("avg_pool_backward: dy", dy, output);
  check::tensor("avg_pool_backward: dx", dx);
  cpu::avg_pool_backward(ctx, pool, dy, dx, write);
}

void global_avg_pool_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  check_image("global_avg_pool_forward: x", x);
  check::dense("global_avg_pool_forward: y", y, {x.shape[0], x.shape[3]});
  cpu::global_avg_pool_forward(ctx, x, y);
}

void global_avg_pool_backward(const Context& ctx, const TensorView& dy, const TensorView& dx, Write write) {
  check_image("global_avg_pool_backward: dx", dx);
  check::dense("global_avg_pool_backward: dy", dy, {dx.shape[0], dx.shape[3]});
  cpu::global_avg_pool_backward(ctx, dy, dx, write);
}

}  // namespace dnas::kernels
