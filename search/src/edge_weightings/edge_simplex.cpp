#include "core/edge_scaling.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/search/edge_weighting.hpp"

#include <fmt/format.h>

#include <cmath>
#include <vector>

namespace dnas::search::family::edge_weightings {
namespace {

/// mix = beta * weights; beta is itself a distribution over the edges that enter a node, uniform at first. After an
/// update it is divided by its sum.
class EdgeSimplex final : public EdgeWeighting {
 protected:
  std::int64_t do_parameters(const ChoiceGroup& group) const override { return group.rows(); }

  void do_start(const ChoiceGroup& group, const Philox& /*noise*/, const TensorView& beta) const override {
    for (const auto& edges : edges_by_node(group)) {
      for (const std::size_t e : edges)
        beta.f32()[e] = static_cast<float>(1.0 / static_cast<double>(edges.size()));
    }
  }

  void do_updated(const ChoiceGroup& group, const TensorView& beta) const override {
    for (const auto& edges : edges_by_node(group)) {
      double sum = 0.0;
      for (const std::size_t e : edges)
        sum += beta.f32()[e];
      if (!(sum > 0.0) || std::isinf(sum)) {
        throw NumericalError(
            fmt::format("edge_simplex: the edges of state {} in '{}' sum to {} after an update, expected more than 0; "
                        "lower arch_learning_rate",
                        group.edges[edges.front()].to, group.name, sum));
      }
      for (const std::size_t e : edges)
        beta.f32()[e] = static_cast<float>(beta.f32()[e] / sum);
    }
  }

  void do_forward(const Context& /*ctx*/, const ChoiceGroup& /*group*/, const TensorView& weights,
                  const TensorView& beta, const TensorView& mix) const override {
    scale_edges(factors(beta), weights, mix);
  }

  void do_backward(const Context& /*ctx*/, const ChoiceGroup& /*group*/, const TensorView& weights,
                   const TensorView& beta, const TensorView& dmix, const TensorView& dweights,
                   const TensorView& dbeta) const override {
    const std::vector<double> gradient = factor_gradient(weights, dmix);
    for (std::size_t e = 0; e < gradient.size(); ++e)
      dbeta.f32()[e] = static_cast<float>(gradient[e]);
    scale_edges(factors(beta), dmix, dweights);  // last: dweights may be dmix
  }

 private:
  static std::vector<double> factors(const TensorView& beta) { return {beta.f32(), beta.f32() + beta.elements()}; }
};

}  // namespace

void register_edge_simplex(Registry<Component<EdgeWeighting>>& registry) {
  registry.add({.name = "edge_simplex",
                .help = "a distribution over the edges of a node; for the exponentiated gradient",
                .source = "Li et al. 2021 (GAEA), arXiv:2004.07802",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<EdgeSimplex>(); }});
}

}  // namespace dnas::search::family::edge_weightings
