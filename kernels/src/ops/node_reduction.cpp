#include "dnas/kernels/node_reduction.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/node_reduction_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {
namespace {

/// `name`: y or g, whose shape all terms have.
void check_node(std::string_view operation, std::span<const ReductionTerm> terms, const TensorView& w,
                std::string_view name, const TensorView& node) {
  check::ranked({operation, name}, node, 4);
  if (node.elements() == 0) {
    throw ShapeError(
        fmt::format("{}: {} is {}, expected at least one element", operation, name, node.shape.to_string()));
  }
  if (terms.empty() || terms.size() > max_reduction_terms) {
    throw ShapeError(
        fmt::format("{}: there are {} terms, expected 1 to {}", operation, terms.size(), max_reduction_terms));
  }
  check::dense({operation, "w"}, w, w.shape);
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const ReductionTerm& term = terms[k];
    check::shaped({operation, "x", k}, term.x, node.shape);
    if (term.normalisation) {
      check::dense({operation, "normalisation", k}, term.normalisation, Shape{normalisation_rows, node.channels()});
    }
    if (term.weight < 0 || term.weight >= w.elements()) {
      throw ShapeError(fmt::format("{}: weight[{}] is {}, expected a position inside w {}", operation, k, term.weight,
                                   w.shape.to_string()));
    }
  }
}

void check_gradients(std::string_view operation, std::span<const ReductionTerm> terms, const TensorView& w,
                     std::int64_t channels, const ReductionGradients& gradients) {
  if (gradients.dw) check::dense({operation, "gradients.dw"}, gradients.dw, w.shape);
  if (gradients.normalisation.empty()) return;
  if (gradients.normalisation.size() != terms.size()) {
    throw ShapeError(fmt::format("{}: gradients.normalisation has {} entries, expected {} (one per term) or none",
                                 operation, gradients.normalisation.size(), terms.size()));
  }
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const TensorView& gradient = gradients.normalisation[k];
    if (!gradient) continue;
    if (!terms[k].normalisation) {
      throw ShapeError(
          fmt::format("{}: gradients.normalisation[{}] is given, expected a null view: the term is not "
                      "normalised",
                      operation, k));
    }
    check::dense({operation, "gradients.normalisation", k}, gradient, Shape{normalisation_gradient_rows, channels});
  }
}

}  // namespace

void node_reduction_forward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                            const TensorView& y) {
  check_node("node_reduction_forward", terms, w, "y", y);
  cpu::node_reduction_forward(ctx, terms, w, y);
}

std::size_t node_reduction_backward_workspace(const Shape& x, std::size_t terms) {
  return cpu::node_reduction_backward_workspace(x, terms);
}

void node_reduction_backward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                             const TensorView& g, const ReductionGradients& gradients, std::span<std::byte> workspace) {
  constexpr std::string_view operation = "node_reduction_backward";
  check_node(operation, terms, w, "g", g);
  check_gradients(operation, terms, w, g.channels(), gradients);
  check::workspace(operation, workspace, node_reduction_backward_workspace(g.shape, terms.size()));
  cpu::node_reduction_backward(ctx, terms, w, g, gradients, workspace);
}

}  // namespace dnas::kernels
