#include "dnas/kernels/elementwise.hpp"
#include "dnas/search/edge_weighting.hpp"

namespace dnas::search::family::edge_weightings {
namespace {

/// A node is the plain sum of its edges: mix = weights.
class Sum final : public EdgeWeighting {
 protected:
  std::int64_t do_parameters(const ChoiceGroup& /*group*/) const override { return 0; }
  void do_forward(const Context& ctx, const ChoiceGroup& /*group*/, const TensorView& weights,
                  const TensorView& /*beta*/, const TensorView& mix) const override {
    kernels::copy(ctx, weights, mix, Write::overwrite);
  }
  void do_backward(const Context& ctx, const ChoiceGroup& /*group*/, const TensorView& /*weights*/,
                   const TensorView& /*beta*/, const TensorView& dmix, const TensorView& dweights,
                   const TensorView& /*dbeta*/) const override {
    kernels::copy(ctx, dmix, dweights, Write::overwrite);
  }
};

}  // namespace

void register_sum(Registry<Component<EdgeWeighting>>& registry) {
  registry.add({.name = "sum",
                .help = "all edges of a node count alike",
                .source = "Liu et al. 2019, arXiv:1806.09055",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Sum>(); }});
}

}  // namespace dnas::search::family::edge_weightings
