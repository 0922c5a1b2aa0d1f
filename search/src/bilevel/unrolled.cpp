#include "dnas/kernels/error.hpp"
#include "dnas/kernels/optimizer_step.hpp"
#include "dnas/search/bilevel_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace dnas::search::family::bilevel {

namespace {

/// Second order: the architecture gradient at the weights after one virtual SGD step,
///
///   w' = w - xi (dL_train/dw + decay * w + momentum * buffer),  xi = the present learning rate
///   g  = dL_val(w', alpha)/dalpha - xi [dL_train(w+, alpha)/dalpha - dL_train(w-, alpha)/dalpha] / (2 eps)
///   w+- = w +- eps v,  v = dL_val/dw at w',  eps = epsilon / ||v||  (one norm over all weights)
///
/// No model is copied: the same plans run on a second weight array. Running statistics move as in the official code:
/// with the three evaluations around w, not with the one at w', which works on a scratch copy.
class Unrolled final : public BilevelStep {
 public:
  explicit Unrolled(double epsilon) : epsilon_(epsilon) {}

  double arch_gradient(SearchState& state, const engine::Batch& train, const engine::Batch& arch) override {
    const Context& ctx = state.net.context();
    const std::span<float> weights = state.weights.flat();
    const std::span<float> states = state.states.flat();
    const std::span<float> point = point_->flat();
    const std::span<float> gradient = state.net.gradient().flat();
    const auto xi = static_cast<float>(state.learning_rate);
    const engine::Sgd::Settings& sgd = state.optimizer.settings();

    state.evaluate(Want::weights, Split::weights, train, weights, states);
    // w' = w - xi * (g + decay * w + momentum * buffer)
    std::ranges::copy(weights, point.begin());
    kernels::axpy(ctx, -xi, gradient, point);
    kernels::axpy(ctx, -xi * static_cast<float>(sgd.weight_decay), weights, point);
    kernels::axpy(ctx, -xi * static_cast<float>(sgd.momentum), state.optimizer.momentum().flat(), point);

    std::ranges::copy(states, scratch_states_->flat().begin());
    const double loss =
        state.arch_backward(state.evaluate(Want::both, Split::architecture, arch, point, scratch_states_->flat()));
    const std::span<float> alpha_gradient = state.architecture.gradient();
    std::ranges::copy(alpha_gradient, result_.begin());

    // Evaluations for the mixing gradient leave the weight gradient, v, alone.
    const double norm = std::sqrt(kernels::squared_norm(ctx, gradient));
    if (!std::isfinite(norm)) {
      throw NumericalError(fmt::format(
          "the gradient after the virtual step has norm {} at step {}; lower the learning rate", norm, state.step));
    }
    if (norm > 0.0) {
      const double eps = epsilon_ / norm;
      for (const double side : {1.0, -1.0}) {
        std::ranges::copy(weights, point.begin());
        kernels::axpy(ctx, static_cast<float>(side * eps), gradient, point);
        state.architecture.backward(ctx, state.evaluate(Want::mixing, Split::weights, train, point, states).dmix);
        kernels::axpy(ctx, static_cast<float>(-side * state.learning_rate / (2.0 * eps)), alpha_gradient, result_);
      }
    }
    std::ranges::copy(result_, alpha_gradient.begin());
    return loss;
  }

  [[nodiscard]] std::vector<Want> train_wants() const override { return {Want::weights, Want::mixing}; }
  [[nodiscard]] std::vector<Want> arch_wants() const override { return {Want::both}; }

  std::size_t prepare(const engine::NetworkTables& tables, std::size_t architecture_parameters) override {
    point_ = std::make_unique<engine::ParameterSet>(tables.parameters);
    scratch_states_ = std::make_unique<engine::ParameterSet>(tables.states);
    result_.assign(architecture_parameters, 0.0F);
    return point_->flat().size_bytes() + scratch_states_->flat().size_bytes() + result_.size() * sizeof(float);
  }

 private:
  double epsilon_;
  std::unique_ptr<engine::ParameterSet> point_;  // w', w+, w-
  std::unique_ptr<engine::ParameterSet> scratch_states_;
  std::vector<float> result_;
};

}  // namespace

void register_unrolled(Registry<Component<BilevelStep>>& registry) {
  registry.add({.name = "unrolled",
                .help = "second order: the architecture gradient after one virtual weight step, by finite differences",
                .source = "Liu et al. 2019, arXiv:1806.09055, equations 7 and 8",
                .defaults = {{"epsilon", 0.01}},
                .make = [](const Options& options) -> std::unique_ptr<BilevelStep> {
                  const double epsilon = options.number("epsilon");
                  if (!(epsilon > 0.0)) {
                    throw ConfigError(fmt::format("unrolled: epsilon is {}, expected more than 0", epsilon));
                  }
                  return std::make_unique<Unrolled>(epsilon);
                }});
}

}  // namespace dnas::search::family::bilevel
