#include "dnas/search/discretisation.hpp"

#include "core/matrix_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

namespace dnas::search {
namespace {

void check_mix(const ChoiceGroup& group, const TensorView& mix) {
  check_matrix(fmt::format("discretisation: mixing weights of '{}'", group.name), mix, {group.rows(), group.columns()});
  const float* values = mix.f32();
  for (std::int64_t i = 0; i < mix.elements(); ++i) {
    if (std::isfinite(values[i])) continue;
    throw NumericalError(fmt::format("discretisation: the mixing weight of '{}' at edge {} is {} for {}", group.name,
                                     i / group.columns(), values[i],
                                     group.edges[static_cast<std::size_t>(i / group.columns())]
                                         .candidates[static_cast<std::size_t>(i % group.columns())]));
  }
}

}  // namespace

Genotype Discretisation::derive(const Space& space, std::span<const TensorView> mix) const {
  const std::vector<ChoiceGroup>& groups = space.choice_groups();
  if (groups.size() != 2 || groups[0].name != "normal" || groups[1].name != "reduce") {
    throw ConfigError("discretisation: the space has no pair of cells 'normal' and 'reduce', which a genotype needs");
  }
  if (mix.size() != groups.size()) {
    throw ShapeError(fmt::format("discretisation: {} matrices of mixing weights, expected {} (one per group)",
                                 mix.size(), groups.size()));
  }
  for (std::size_t i = 0; i < groups.size(); ++i)
    check_mix(groups[i], mix[i]);
  return {.normal = do_derive(groups[0], mix[0]), .reduce = do_derive(groups[1], mix[1])};
}

}  // namespace dnas::search
