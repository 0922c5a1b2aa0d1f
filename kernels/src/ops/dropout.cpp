#include "dnas/kernels/dropout.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/draws.hpp"
#include "ops/dropout_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

float checked_rate(std::string_view operation, const TensorView& rate) {
  check::dense({operation, "rate"}, rate, Shape{1});
  const float value = *rate.f32();
  if (!(value >= 0.0F && value < 1.0F)) {
    throw ConfigError(fmt::format("{}: rate is {}, expected a value in [0, 1)", operation, value));
  }
  return value;
}

}  // namespace

void dropout(const Context& ctx, const TensorView& x, const TensorView& rate, const Draws& draws, const TensorView& y,
             Write write) {
  check::tensor("dropout: x", x);
  check::shaped("dropout: y", y, x.shape);
  check_draws("dropout", draws, x.elements());
  cpu::dropout(ctx, x, checked_rate("dropout", rate), draws, y, write);
}

void drop_path(const Context& ctx, const TensorView& x, const TensorView& rate, const Draws& draws, const TensorView& y,
               Write write) {
  check::ranked("drop_path: x", x, 4);
  check::shaped("drop_path: y", y, x.shape);
  check_draws("drop_path", draws, x.shape[0]);
  cpu::drop_path(ctx, x, checked_rate("drop_path", rate), draws, y, write);
}

}  // namespace dnas::kernels
