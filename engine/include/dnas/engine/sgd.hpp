#pragma once

#include "dnas/engine/parameters.hpp"
#include "dnas/kernels/context.hpp"

namespace dnas::engine {

/// Stochastic gradient descent with momentum, coupled weight decay and clipping by the global norm, over all parameters
/// of a network at once. Formulas: dnas/kernels/optimizer_step.hpp.
class Sgd {
 public:
  struct Settings {
    double momentum = 0.9;
    double weight_decay = 3e-4;
  };

  Sgd(std::shared_ptr<const ParameterTable> table, const Settings& settings)
      : settings_(settings), momentum_(std::move(table)) {}

  /// Updates `weights` from `gradient`, which is left alone. Returns the gradient's norm before clipping.
  /// @param grad_clip  largest norm; 0: no clipping
  double step(const Context& ctx, double learning_rate, double grad_clip, const ParameterSet& gradient,
              ParameterSet& weights);

  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
  void set_weight_decay(double weight_decay) noexcept { settings_.weight_decay = weight_decay; }
  /// The momentum buffers: zero before the first step.
  [[nodiscard]] ParameterSet& momentum() noexcept { return momentum_; }
  [[nodiscard]] const ParameterSet& momentum() const noexcept { return momentum_; }

 private:
  Settings settings_;
  ParameterSet momentum_;
};

}  // namespace dnas::engine
