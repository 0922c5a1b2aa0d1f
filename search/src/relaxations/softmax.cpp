#include "dnas/kernels/softmax.hpp"

#include "dnas/search/relaxation.hpp"

namespace dnas::search::family::relaxations {
namespace {

/// weights = softmax(alpha) along each row. There is no temperature: tau is not used.
class Softmax final : public Relaxation {
 protected:
  void do_forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const override {
    kernels::softmax_forward(ctx, in.alpha, weights);
  }
  void do_backward(const Context& ctx, const RelaxationInput& /*in*/, const TensorView& weights,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    kernels::softmax_backward(ctx, weights, dweights, dalpha);
  }
};

}  // namespace

void register_softmax(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "softmax",
                .help = "softmax of alpha along each edge: every candidate runs",
                .source = "Liu et al. 2019, arXiv:1806.09055, eq. 2",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Softmax>(); }});
}

}  // namespace dnas::search::family::relaxations
