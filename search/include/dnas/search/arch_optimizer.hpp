#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/search/component.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dnas::search {

/// How the architecture parameters are updated from their gradient.
class ArchOptimizer {
 public:
  virtual ~ArchOptimizer() = default;

  struct Settings {
    double learning_rate = 3e-4;
    double weight_decay = 1e-3;
  };

  /// Allocates the state for `count` parameters. Before the first update.
  void prepare(std::size_t count) { do_prepare(count); }
  /// One step, in place. @throws ShapeError if the spans are not of the prepared length; NumericalError if a parameter
  /// is no longer finite
  void update(const Context& ctx, const Settings& settings, std::span<const float> gradient,
              std::span<float> parameters);

  /// Updates done so far; part of the state.
  [[nodiscard]] std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }

  /// Arrays that a checkpoint must hold.
  struct State {
    std::string name;
    std::span<float> values;
  };
  [[nodiscard]] virtual std::vector<State> state() = 0;

 protected:
  virtual void do_prepare(std::size_t count) = 0;
  virtual void do_update(const Context& ctx, const Settings& settings, std::int64_t step,
                         std::span<const float> gradient, std::span<float> parameters) = 0;

 private:
  std::int64_t steps_ = 0;
};

void register_arch_optimizers(Registry<Component<ArchOptimizer>>& registry);
[[nodiscard]] const Registry<Component<ArchOptimizer>>& arch_optimizers();

}  // namespace dnas::search
