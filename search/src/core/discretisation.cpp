#include "dnas/search/discretisation.hpp"

#include "core/matrix_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <utility>

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
  if (mix.size() != groups.size()) {
    throw ShapeError(fmt::format("discretisation: {} matrices of mixing weights, expected {} (one per group)",
                                 mix.size(), groups.size()));
  }
  for (std::size_t i = 0; i < groups.size(); ++i)
    check_mix(groups[i], mix[i]);
  Genotype genotype;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    CellGenotype cell = do_derive(groups[i], mix[i]);
    cell.inputs = groups[i].inputs;
    genotype.cells.push_back({groups[i].name, std::move(cell)});
  }
  return genotype;
}

}  // namespace dnas::search
