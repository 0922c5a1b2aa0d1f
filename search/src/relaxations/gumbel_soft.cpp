#include "core/relaxation_rows.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <vector>

namespace dnas::search::family::relaxations {
namespace {

/// weights = softmax((alpha + g) / tau) along each edge, with Gumbel noise g of its own for every draw: a sample of the
/// concrete distribution. Every candidate runs. Without noise the weights are softmax(alpha), the probabilities that
/// the samples tend to for small tau.
class GumbelSoft final : public Relaxation {
 public:
  explicit GumbelSoft(Start start) : start_(start) {}
  [[nodiscard]] Start start(std::int64_t /*candidates*/) const override { return start_; }

 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    std::vector<double> y(columns(in));
    for (std::int64_t edge = 0; edge < weights.shape[0]; ++edge) {
      gumbel_softmax_row(in, edge, y);
      write_row(y, weights, edge);
    }
  }
  void do_backward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    gumbel_softmax_gradient(in, dweights, dalpha);
  }

 private:
  Start start_;
};

}  // namespace

void register_gumbel_soft(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "gumbel_soft",
                .help = "Gumbel-softmax of alpha at the epoch's temperature: every candidate runs",
                .source = "Xie et al. 2019 (SNAS), arXiv:1812.09926; start as in the released code",
                .defaults = {{"init_mean", 1.0}, {"init_deviation", 0.01}},
                .make = [](const Options& options) {
                  const double deviation = options.number("init_deviation");
                  if (!(deviation >= 0.0)) {
                    throw ConfigError(fmt::format("gumbel_soft: init_deviation is {}, expected 0 or more", deviation));
                  }
                  return std::make_unique<GumbelSoft>(
                      Relaxation::Start{.mean = options.number("init_mean"), .deviation = deviation});
                }});
}

}  // namespace dnas::search::family::relaxations
