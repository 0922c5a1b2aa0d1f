#include "dnas/search/arch_optimizer.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::search {

void ArchOptimizer::update(const Context& ctx, const Settings& settings, std::span<const float> gradient,
                           std::span<float> parameters) {
  if (gradient.size() != parameters.size()) {
    throw ShapeError(fmt::format("arch_optimizer: gradient has {} entries, expected {} like the parameters",
                                 gradient.size(), parameters.size()));
  }
  ++steps_;
  do_update(ctx, settings, steps_, gradient, parameters);
}

}  // namespace dnas::search
