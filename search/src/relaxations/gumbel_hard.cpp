#include "core/relaxation_rows.hpp"

#include "dnas/kernels/softmax.hpp"

#include <algorithm>
#include <vector>

namespace dnas::search::family::relaxations {
namespace {

/// y = softmax((log softmax(alpha) + g) / tau) with Gumbel noise g, weights = the one-hot vector of its largest entry
/// (the first of equal ones). Only that candidate runs. The gradient passes straight through: dalpha is that of y.
///
/// The released code writes the weight as h - stop(y) + y, which is h up to rounding; here it is exactly 1. log softmax
/// differs from alpha by a constant of the edge, which no softmax sees. A candidate that did not run has no gradient of
/// its own from the supernet; its alpha moves through the softmax alone.
class GumbelHard final : public Relaxation {
 public:
  [[nodiscard]] std::int64_t runs_at_most(Phase /*phase*/) const override { return 1; }

 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    std::vector<double> row(columns(in));
    for (std::int64_t edge = 0; edge < weights.shape[0]; ++edge) {
      gumbel_row(in, edge, row);
      const auto chosen = std::ranges::max_element(row) - row.begin();
      std::ranges::fill(row, 0.0);
      row[static_cast<std::size_t>(chosen)] = 1.0;
      write_row(row, weights, edge);
    }
  }
  void do_expected(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const override {
    kernels::softmax_forward(ctx, in.alpha, weights);
  }
  void do_backward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    gumbel_softmax_gradient(in, dweights, dalpha);
  }
  void do_support(const RelaxationInput& /*in*/, const TensorView& weights,
                  std::span<std::uint8_t> runs) const override {
    for (std::size_t i = 0; i < runs.size(); ++i)
      runs[i] = weights.f32()[i] != 0.0F ? 1 : 0;
  }
};

}  // namespace

void register_gumbel_hard(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "gumbel_hard",
                .help = "one candidate sampled an edge, with the gradient of the Gumbel-softmax: only that one runs",
                .source = "Dong and Yang 2019 (GDAS), arXiv:1910.04465",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<GumbelHard>(); }});
}

}  // namespace dnas::search::family::relaxations
