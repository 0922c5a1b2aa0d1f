#include "dnas/kernels/normalisation.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/normalisation_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

void check_images(std::string_view operation, const TensorView& x) {
  check::ranked({operation, "x"}, x, 4);
  if (x.elements() == 0) {
    throw ShapeError(fmt::format("{}: x is {}, expected at least one element", operation, x.shape.to_string()));
  }
}

}  // namespace

std::size_t batch_statistics_workspace(const Shape& x) {
  return cpu::batch_statistics_workspace(x);
}

void batch_statistics(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                      std::span<const RunningStatistics> running, const TensorView& normalisation,
                      std::span<std::byte> workspace) {
  constexpr std::string_view operation = "batch_statistics";
  check_images(operation, x);
  for (std::size_t i = 0; i < running.size(); ++i) {
    const RunningStatistics& r = running[i];
    if (!r.mean && !r.var) continue;
    check::dense({operation, "running.mean", i}, r.mean, Shape{x.channels()});
    check::dense({operation, "running.var", i}, r.var, Shape{x.channels()});
  }
  check::dense("batch_statistics: normalisation", normalisation, Shape{normalisation_rows, x.channels()});
  check::workspace(operation, workspace, batch_statistics_workspace(x.shape));
  cpu::batch_statistics(ctx, bn, x, running, normalisation, workspace);
}

void normalisation_backward(const Context& ctx, const TensorView& x, std::span<const TensorView> g,
                            std::span<const TensorView> gradients, const TensorView& dx, Write write) {
  constexpr std::string_view operation = "normalisation_backward";
  check_images(operation, x);
  if (g.empty() || g.size() > max_normalisation_gradients) {
    throw ShapeError(
        fmt::format("{}: there are {} terms, expected 1 to {}", operation, g.size(), max_normalisation_gradients));
  }
  if (gradients.size() != g.size()) {
    throw ShapeError(
        fmt::format("{}: gradients has {} entries, expected {} (one per term)", operation, gradients.size(), g.size()));
  }
  for (std::size_t e = 0; e < g.size(); ++e) {
    check::shaped({operation, "g", e}, g[e], x.shape);
    check::dense({operation, "gradients", e}, gradients[e], Shape{normalisation_gradient_rows, x.channels()});
  }
  check::shaped("normalisation_backward: dx", dx, x.shape);
  cpu::normalisation_backward(ctx, x, g, gradients, dx, write);
}

}  // namespace dnas::kernels
