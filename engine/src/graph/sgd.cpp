#include "dnas/engine/sgd.hpp"

#include "dnas/kernels/optimizer_step.hpp"

#include <cmath>

namespace dnas::engine {

double Sgd::step(const Context& ctx, double learning_rate, double grad_clip, const ParameterSet& gradient,
                 ParameterSet& weights) {
  const double squared = kernels::squared_norm(ctx, gradient.flat());
  const kernels::SgdStep update{.learning_rate = static_cast<float>(learning_rate),
                                .momentum = static_cast<float>(settings_.momentum),
                                .weight_decay = static_cast<float>(settings_.weight_decay),
                                .scale = grad_clip > 0.0 ? kernels::clip_scale(squared, grad_clip) : 1.0F};
  kernels::sgd_step(ctx, update, gradient.flat(), momentum_.flat(), weights.flat());
  return std::sqrt(squared);
}

}  // namespace dnas::engine
