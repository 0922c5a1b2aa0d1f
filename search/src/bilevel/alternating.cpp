#include "dnas/search/bilevel_step.hpp"

namespace dnas::search::family::bilevel {

namespace {

/// First order: alpha from dL_val/dalpha at the present weights, then the weights from dL_train/dw.
class Alternating final : public BilevelStep {
 public:
  double arch_gradient(SearchState& state, const engine::Batch& /*train*/, const engine::Batch& arch) override {
    return state.arch_backward(
        state.evaluate(Want::mixing, Split::architecture, arch, state.weights.flat(), state.states.flat()));
  }
  [[nodiscard]] std::vector<Want> train_wants() const override { return {Want::weights}; }
  [[nodiscard]] std::vector<Want> arch_wants() const override { return {Want::mixing}; }
  std::size_t prepare(const engine::NetworkTables& /*tables*/, std::size_t /*architecture_parameters*/) override {
    return 0;
  }
};

}  // namespace

void register_alternating(Registry<Component<BilevelStep>>& registry) {
  registry.add(
      {.name = "alternating",
       .help = "first order: alpha on the architecture split, then the weights on the weight split",
       .source = "Liu et al. 2019, arXiv:1806.09055, section 2.3 with xi = 0",
       .defaults = {},
       .make = [](const Options&) -> std::unique_ptr<BilevelStep> { return std::make_unique<Alternating>(); }});
}

}  // namespace dnas::search::family::bilevel
