#include "dnas/kernels/noise.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/draws.hpp"
#include "ops/noise_cpu.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::kernels {

void gaussian_noise(const Context& ctx, const TensorView& x, float factor, const Draws& draws, const TensorView& y) {
  check::tensor("gaussian_noise: x", x);
  check::shaped("gaussian_noise: y", y, x.shape);
  check_draws("gaussian_noise", draws, x.elements());
  if (!(factor >= 0.0F && std::isfinite(factor))) {
    throw ConfigError(fmt::format("gaussian_noise: factor is {}, expected a finite value of 0 or more", factor));
  }
  cpu::gaussian_noise(ctx, x, factor, draws, y);
}

void normal_noise(const Context& ctx, const Draws& draws, const TensorView& y) {
  check::tensor("normal_noise: y", y);
  check_draws("normal_noise", draws, y.elements());
  cpu::normal_noise(ctx, draws, y);
}

}  // namespace dnas::kernels
