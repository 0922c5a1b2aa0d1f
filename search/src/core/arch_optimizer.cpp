#include "dnas/search/arch_optimizer.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::search {

void ArchOptimizer::update(const Context& ctx, const Settings& settings, std::span<const float> gradient,
                           std::span<float> parameters) {
  if (gradient.size() != parameters.size()) {
    throw ShapeError(fmt::format("arch_optimizer: gradient has {} entries, expected {} like the parameters",
                                 gradient.size(), parameters.size()));
  }
  do_update(ctx, settings, steps_ + 1, gradient, parameters);
  ++steps_;  // only if it was not refused
  for (const float value : parameters) {
    if (!std::isfinite(value)) {
      throw NumericalError(
          fmt::format("an architecture parameter became {} in update {}; lower arch_learning_rate", value, steps_));
    }
  }
}

}  // namespace dnas::search
