#include "dnas/search/bilevel_step.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/kernels/optimizer_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dnas::search {

void SearchState::relax(Phase phase) {
  // Two draws a step: the architecture step and the weight step sample anew.
  const std::uint32_t draw = 2 * step + (phase == Phase::arch_step ? 1 : 0);
  architecture.relax(net.context(), {.seed = seed, .number = draw, .tau = tau, .phase = phase});
}

const Supernet::Result& SearchState::evaluate(Want want, Split split, const engine::Batch& batch,
                                              std::span<float> at_weights, std::span<float> at_states) {
  Mixing mixing(architecture.mix());
  mixing.support = &architecture.support();
  mixing.rates = rates;
  mixing.seed = seed;
  mixing.draw = 2 * step + (split == Split::architecture ? 1 : 0);
  return net.evaluate(want, batch, mixing, at_weights, at_states);
}

double SearchState::arch_backward(const Supernet::Result& result) {
  return architecture.backward(net.context(), result.dmix, result.loss, loss_terms, moment);
}

void SearchState::update_architecture() {
  const std::span<float> gradient = architecture.gradient();
  if (arch_grad_clip > 0.0) {
    const double norm = std::sqrt(kernels::squared_norm(net.context(), gradient));
    const auto scale = static_cast<float>(std::min(1.0, arch_grad_clip / (norm + 1e-6)));
    for (float& g : gradient)
      g *= scale;
  }
  architecture.before_update();
  arch_optimizer.update(net.context(), arch_settings, gradient, architecture.parameters());
  architecture.updated();
}

void BilevelStep::arch_step(SearchState& state, const engine::Batch& train, const engine::Batch& arch) {
  if (!state.update_alpha) return;
  state.relax(Phase::arch_step);
  arch_gradient(state, train, arch);
  state.update_architecture();
}

BilevelStep::Result BilevelStep::step(SearchState& state, const engine::Batch& train, const engine::Batch& arch) {
  arch_step(state, train, arch);
  return weight_step(state, train);
}

BilevelStep::Result BilevelStep::weight_step(SearchState& state, const engine::Batch& train) {
  state.relax(Phase::weight_step);
  if (state.perturbation != nullptr) state.perturbation->perturb(state, train);
  const Supernet::Result& result =
      state.evaluate(Want::weights, Split::weights, train, state.weights.flat(), state.states.flat());
  const double norm = state.optimizer.step(state.net.context(), state.learning_rate, state.grad_clip,
                                           state.net.gradient(), state.weights);
  // The loss may be finite where its gradient is not. No step follows, so the spoilt weights reach no checkpoint.
  if (!std::isfinite(norm)) {
    throw NumericalError(
        fmt::format("the norm of the weights' gradient is {} at step {}; lower the learning rate", norm, state.step));
  }
  return {result.loss, result.logits};
}

}  // namespace dnas::search
