#include "dnas/kernels/weighted_sum.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/weighted_sum_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

void check_count(std::string_view operation, std::string_view name, std::size_t count, std::size_t terms) {
  if (count != terms) {
    throw ShapeError(fmt::format("{}: {} has {} entries, expected {} (one per term)", operation, name, count, terms));
  }
}

/// At least one term, and for each a position inside `weights`.
void check_index(std::string_view operation, std::span<const std::int32_t> index, std::size_t terms,
                 std::string_view name, const TensorView& weights) {
  if (terms == 0) throw ShapeError(fmt::format("{}: there are no terms, expected at least one", operation));
  check_count(operation, "index", index.size(), terms);
  check::dense({operation, name}, weights, weights.shape);
  for (std::size_t k = 0; k < index.size(); ++k) {
    if (index[k] < 0 || index[k] >= weights.elements()) {
      throw ShapeError(fmt::format("{}: index[{}] is {}, expected a position inside {} {}", operation, k, index[k],
                                   name, weights.shape.to_string()));
    }
  }
}

/// All of one shape; null views only where the caller may leave a term out.
void check_terms(std::string_view operation, std::string_view name, std::span<const TensorView> terms,
                 const Shape& shape, bool may_be_null) {
  for (std::size_t k = 0; k < terms.size(); ++k) {
    if (may_be_null && !terms[k]) continue;
    check::shaped({operation, name, k}, terms[k], shape);
  }
}

}  // namespace

void weighted_sum_forward(const Context& ctx, std::span<const TensorView> x, std::span<const std::int32_t> index,
                          const TensorView& w, const TensorView& y) {
  constexpr std::string_view operation = "weighted_sum_forward";
  check_index(operation, index, x.size(), "w", w);
  check::tensor("weighted_sum_forward: y", y);
  check_terms(operation, "x", x, y.shape, false);
  cpu::weighted_sum_forward(ctx, x, index, w, y);
}

void weighted_sum_backward_data(const Context& ctx, std::span<const std::int32_t> index, const TensorView& w,
                                const TensorView& dy, std::span<const TensorView> dx, std::span<const Write> write) {
  constexpr std::string_view operation = "weighted_sum_backward_data";
  check_index(operation, index, dx.size(), "w", w);
  check_count(operation, "write", write.size(), dx.size());
  check::tensor("weighted_sum_backward_data: dy", dy);
  check_terms(operation, "dx", dx, dy.shape, true);
  cpu::weighted_sum_backward_data(ctx, index, w, dy, dx, write);
}

std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms) {
  return cpu::weighted_sum_workspace(x, terms);
}

void weighted_sum_backward_weights(const Context& ctx, std::span<const TensorView> x,
                                   std::span<const std::int32_t> index, const TensorView& dy, const TensorView& dw,
                                   std::span<std::byte> workspace) {
  constexpr std::string_view operation = "weighted_sum_backward_weights";
  check_index(operation, index, x.size(), "dw", dw);
  check::tensor("weighted_sum_backward_weights: dy", dy);
  check_terms(operation, "x", x, dy.shape, false);
  check::workspace(operation, workspace, weighted_sum_workspace(dy.shape, x.size()));
  cpu::weighted_sum_backward_weights(ctx, x, index, dy, dw, workspace);
}

}  // namespace dnas::kernels
