#include "dnas/kernels/batch_norm.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/batch_norm_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

void check_images(std::string_view operation, const TensorView& x, std::string_view name = "x") {
  check::ranked({operation, name}, x, 4);
  if (x.elements() == 0) {
    throw ShapeError(fmt::format("{}: {} is {}, expected at least one element", operation, name, x.shape.to_string()));
  }
}

/// A [C] vector.
void check_vector(std::string_view operation, std::string_view name, const TensorView& t, const TensorView& x) {
  check::dense({operation, name}, t, Shape{x.channels()});
}

/// Two [C] vectors, or two null views.
void check_pair(std::string_view operation, std::string_view first_name, const TensorView& first,
                std::string_view second_name, const TensorView& second, const TensorView& x) {
  if (!first && !second) return;
  if (!first || !second) {
    throw ShapeError(fmt::format("{}: {} is a null view but {} is not, expected both or neither", operation,
                                 first ? second_name : first_name, first ? first_name : second_name));
  }
  check_vector(operation, first_name, first, x);
  check_vector(operation, second_name, second, x);
}

}  // namespace

std::size_t batch_norm_workspace(const Shape& x) {
  return cpu::batch_norm_workspace(x);
}

void batch_norm_forward(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                        const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd,
                        std::span<std::byte> workspace) {
  constexpr std::string_view operation = "batch_norm_forward";
  check_images(operation, x);
  check::shaped("batch_norm_forward: y", y, x.shape);
  check_pair(operation, "gamma", gamma, "beta", beta, x);
  check_pair(operation, "running_mean", running_mean, "running_var", running_var, x);
  check_vector(operation, "mean", mean, x);
  check_vector(operation, "rstd", rstd, x);
  check::workspace(operation, workspace, batch_norm_workspace(x.shape));
  cpu::batch_norm_forward(ctx, bn, x, gamma, beta, running_mean, running_var, y, mean, rstd, workspace);
}

void batch_norm_inference(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                          const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                          const TensorView& y) {
  constexpr std::string_view operation = "batch_norm_inference";
  check_images(operation, x);
  check::shaped("batch_norm_inference: y", y, x.shape);
  check_pair(operation, "gamma", gamma, "beta", beta, x);
  check_vector(operation, "running_mean", running_mean, x);
  check_vector(operation, "running_var", running_var, x);
  cpu::batch_norm_inference(ctx, bn, x, gamma, beta, running_mean, running_var, y);
}

void batch_norm_backward(const Context& ctx, const TensorView& x, const TensorView& gamma, const TensorView& mean,
                         const TensorView& rstd, const TensorView& dy, const TensorView& dx, Write write_dx,
                         const TensorView& dgamma, const TensorView& dbeta, std::span<std::byte> workspace) {
  constexpr std::string_view operation = "batch_norm_backward";
  check_images(operation, x);
  if (gamma) check_vector(operation, "gamma", gamma, x);
  check_vector(operation, "mean", mean, x);
  check_vector(operation, "rstd", rstd, x);
  check::shaped("batch_norm_backward: dy", dy, x.shape);
  if (dx) check::shaped("batch_norm_backward: dx", dx, x.shape);
  if (dgamma) check_vector(operation, "dgamma", dgamma, x);
  if (dbeta) check_vector(operation, "dbeta", dbeta, x);
  check::workspace(operation, workspace, batch_norm_workspace(x.shape));
  cpu::batch_norm_backward(ctx, x, gamma, mean, rstd, dy, dx, write_dx, dgamma, dbeta, workspace);
}

void batch_norm_inference_backward(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                                   const TensorView& gamma, const TensorView& running_mean,
                                   const TensorView& running_var, const TensorView& dy, const TensorView& dx,
                                   Write write_dx, const TensorView& dgamma, const TensorView& dbeta,
                                   std::span<std::byte> workspace) {
  constexpr std::string_view operation = "batch_norm_inference_backward";
  check_images(operation, dy, "dy");
  if (x || dgamma) check::shaped({operation, "x"}, x, dy.shape);
  if (gamma) check_vector(operation, "gamma", gamma, dy);
  check_vector(operation, "running_mean", running_mean, dy);
  check_vector(operation, "running_var", running_var, dy);
  if (dx) check::shaped({operation, "dx"}, dx, dy.shape);
  if (dgamma) check_vector(operation, "dgamma", dgamma, dy);
  if (dbeta) check_vector(operation, "dbeta", dbeta, dy);
  check::workspace(operation, workspace, batch_norm_workspace(dy.shape));
  cpu::batch_norm_inference_backward(ctx, bn, x, gamma, running_mean, running_var, dy, dx, write_dx, dgamma, dbeta,
                                     workspace);
}

}  // namespace dnas::kernels
