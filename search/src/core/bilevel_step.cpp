#include "dnas/search/bilevel_step.hpp"

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
  state.optimizer.step(state.net.context(), state.learning_rate, state.grad_clip, state.net.gradient(), state.weights);
  return {result.loss, result.logits};
}

}  // namespace dnas::search
