#include "dnas/search/loss_term.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dnas::search {

void LossTerm::add(const Context& ctx, const Moment& moment, std::span<const Group> groups, Sum& sum) const {
  do_add(ctx, moment, groups, sum);
  if (!std::isfinite(sum.value) || !std::isfinite(sum.scale)) {
    throw NumericalError(fmt::format(
        "the architecture loss is {} (its cross-entropy times {}) with all its terms; lower their coefficients",
        sum.value, sum.scale));
  }
}

void LossTerm::multiply(std::span<const Group> groups, double factor, Sum& sum) {
  sum.value *= factor;
  sum.scale *= factor;
  for (const Group& group : groups) {
    for (const TensorView& gradient : {group.dalpha, group.dweights}) {
      for (std::int64_t i = 0; i < gradient.elements(); ++i)
        gradient.f32()[i] *= static_cast<float>(factor);
    }
  }
}

}  // namespace dnas::search
