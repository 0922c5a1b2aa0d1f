#pragma once

#include "dnas/engine/loader.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/supernet.hpp"

#include <vector>

namespace dnas::search {

struct SearchState;

/// What is done to the relaxed weights in the weight step alone, between relaxation and edge weighting.
class Perturbation {
 public:
  virtual ~Perturbation() = default;

  /// Changes the mixing weights of state.architecture, which has been relaxed for the weight step on `train`.
  virtual void perturb(SearchState& state, const engine::Batch& train) = 0;

  /// Evaluations that perturb() makes on a batch of the weight split, for planning.
  [[nodiscard]] virtual std::vector<Want> wants() const { return {}; }
};

void register_perturbations(Registry<Component<Perturbation>>& registry);
[[nodiscard]] const Registry<Component<Perturbation>>& perturbations();

}  // namespace dnas::search
