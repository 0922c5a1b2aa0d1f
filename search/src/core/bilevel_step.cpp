#include "dnas/search/bilevel_step.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::search {

BilevelStep::Result BilevelStep::step(SearchState& state, const engine::Batch& train, const engine::Batch& arch) {
  if (state.update_alpha) {
    arch_gradient(state, train, arch);
    state.arch_optimizer.update(state.net.context(), state.arch_settings, state.architecture.gradient(),
                                state.architecture.parameters());
    state.relax();
  }
  return weight_step(state, train);
}

BilevelStep::Result BilevelStep::weight_step(SearchState& state, const engine::Batch& train) {
  const Supernet::Result& result =
      state.net.evaluate(Want::weights, train, state.architecture.mix(), state.weights.flat(), state.states.flat());
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
