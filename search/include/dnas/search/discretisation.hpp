#pragma once

#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/space.hpp"

#include <span>

namespace dnas::search {

/// How a supernet becomes an architecture: a pure function of the relaxed weights.
class Discretisation {
 public:
  virtual ~Discretisation() = default;

  /// @param mix  [edges, candidates] f32 per group of the space, noise-free mixing weights
  /// @return a cell for each group, of its name
  /// @throws ShapeError, DtypeError; NumericalError if a weight is not finite; ConfigError if the choices do not suit
  [[nodiscard]] Genotype derive(const Space& space, std::span<const TensorView> mix) const;

 protected:
  /// The number of inputs is filled in by the caller.
  virtual CellGenotype do_derive(const ChoiceGroup& group, const TensorView& mix) const = 0;
};

void register_discretisations(Registry<Component<Discretisation>>& registry);
[[nodiscard]] const Registry<Component<Discretisation>>& discretisations();

}  // namespace dnas::search
