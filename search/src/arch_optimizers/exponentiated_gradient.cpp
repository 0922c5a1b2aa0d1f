#include "dnas/kernels/error.hpp"
#include "dnas/search/arch_optimizer.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::search::family::arch_optimizers {

namespace {

/// alpha <- alpha * exp(-learning_rate * gradient), element by element: mirror descent on a simplex, once the
/// relaxation has divided each row by its sum. No momentum and no state.
class ExponentiatedGradient final : public ArchOptimizer {
 public:
  [[nodiscard]] std::vector<State> state() override { return {}; }

 protected:
  void do_prepare(std::size_t /*count*/) override {}

  void do_update(const Context& /*ctx*/, const Settings& settings, std::int64_t /*step*/,
                 std::span<const float> gradient, std::span<float> parameters) override {
    if (settings.weight_decay != 0.0) {
      throw ConfigError(
          fmt::format("exponentiated_gradient: weight decay is {}, expected 0: the sum of a distribution "
                      "cannot decay; set arch_weight_decay to 0",
                      settings.weight_decay));
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const double factor = std::exp(-settings.learning_rate * static_cast<double>(gradient[i]));
      parameters[i] = static_cast<float>(parameters[i] * factor);
    }
  }
};

}  // namespace

void register_exponentiated_gradient(Registry<Component<ArchOptimizer>>& registry) {
  registry.add({.name = "exponentiated_gradient",
                .help = "multiplies alpha by exp(-learning rate * gradient): for distributions",
                .source = "Kivinen and Warmuth 1997; Li et al. 2021 (GAEA), arXiv:2004.07802",
                .defaults = {},
                .make = [](const Options&) -> std::unique_ptr<ArchOptimizer> {
                  return std::make_unique<ExponentiatedGradient>();
                }});
}

}  // namespace dnas::search::family::arch_optimizers
