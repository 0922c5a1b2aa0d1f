#include "dnas/search/relaxation.hpp"

#include <cmath>

namespace dnas::search::family::relaxations {
namespace {

/// weights = 1 / (1 + exp(-alpha)), each candidate by itself. It starts at 1/2, where no candidate is preferred.
class Sigmoid final : public Relaxation {
 public:
  [[nodiscard]] Start start(std::int64_t /*candidates*/) const override { return {.mean = 0.0, .deviation = 0.0}; }

 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    for (std::int64_t i = 0; i < weights.elements(); ++i)
      weights.f32()[i] = static_cast<float>(sigmoid(in.alpha.f32()[i]));
  }
  void do_backward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    for (std::int64_t i = 0; i < dalpha.elements(); ++i) {
      const double alpha = in.alpha.f32()[i];
      // sigmoid(-alpha) is 1 - sigmoid(alpha) without the cancellation.
      dalpha.f32()[i] = static_cast<float>(dweights.f32()[i] * sigmoid(alpha) * sigmoid(-alpha));
    }
  }

 private:
  static double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
};

}  // namespace

void register_sigmoid(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "sigmoid",
                .help = "sigmoid of alpha: candidates do not compete",
                .source = "Chu et al. 2020 (FairDARTS), arXiv:1911.12126",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Sigmoid>(); }});
}

}  // namespace dnas::search::family::relaxations
