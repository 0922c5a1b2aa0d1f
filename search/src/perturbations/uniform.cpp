#include "core/weight_ball.hpp"

#include "dnas/search/perturbation.hpp"

#include "dnas/search/bilevel_step.hpp"

namespace dnas::search::family::perturbations {
namespace {

/// p + delta with delta ~ U[-eps, eps] per entry, clipped to [0, 1], each edge brought back to the sum 1.
class Uniform final : public Perturbation {
 public:
  explicit Uniform(const WeightBall& ball) : ball_(ball) {}

  void perturb(SearchState& state, const engine::Batch& /*train*/) override {
    const double radius = ball_.radius(state.moment);
    for (std::size_t g = 0; g < state.architecture.groups().size(); ++g) {
      const TensorView& weights = state.architecture.weights()[g];
      const std::vector<float> delta =
          uniform_delta(weights.elements(), radius, Philox(state.seed, Stream::perturbation, state.step), g);
      add_and_project(weights, delta);
    }
    state.architecture.combine(state.net.context());
  }

 private:
  WeightBall ball_;
};

}  // namespace

void register_uniform(Registry<Component<Perturbation>>& registry) {
  registry.add({.name = "uniform",
                .help = "random weights within eps of the relaxed ones, eps growing from first to last",
                .source = "Chen and Hsieh 2020 (SDARTS-RS), arXiv:2002.05283",
                .defaults = {{"first", 0.03}, {"last", 0.3}},
                .make = [](const Options& options) -> std::unique_ptr<Perturbation> {
                  return std::make_unique<Uniform>(WeightBall("uniform", options));
                }});
}

}  // namespace dnas::search::family::perturbations
