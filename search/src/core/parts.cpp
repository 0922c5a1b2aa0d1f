#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/candidate.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/loss_term.hpp"
#include "dnas/search/method.hpp"
#include "dnas/search/perturbation.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/transform.hpp"

#include <string>
#include <utility>

// The built-in members of each family, registered on first use.
namespace dnas::search {
namespace {

template <typename Part>
Registry<Component<Part>> filled(std::string family, void (*register_members)(Registry<Component<Part>>&)) {
  Registry<Component<Part>> registry(std::move(family));
  register_members(registry);
  return registry;
}

}  // namespace

const Registry<Component<Candidate>>& candidates() {
  static const auto registry = filled<Candidate>("candidate", register_candidates);
  return registry;
}

const Registry<Component<Space>>& spaces() {
  static const auto registry = filled<Space>("space", register_spaces);
  return registry;
}

const Registry<Component<Relaxation>>& relaxations() {
  static const auto registry = filled<Relaxation>("relaxation", register_relaxations);
  return registry;
}

const Registry<Component<EdgeWeighting>>& edge_weightings() {
  static const auto registry = filled<EdgeWeighting>("edge weighting", register_edge_weightings);
  return registry;
}

const Registry<Component<Transform>>& transforms() {
  static const auto registry = filled<Transform>("transform", register_transforms);
  return registry;
}

const Registry<Component<Perturbation>>& perturbations() {
  static const auto registry = filled<Perturbation>("perturbation", register_perturbations);
  return registry;
}

const Registry<Component<LossTerm>>& loss_terms() {
  static const auto registry = filled<LossTerm>("loss term", register_loss_terms);
  return registry;
}

const Registry<Component<BilevelStep>>& bilevel_steps() {
  static const auto registry = filled<BilevelStep>("bilevel step", register_bilevel);
  return registry;
}

const Registry<Component<ArchOptimizer>>& arch_optimizers() {
  static const auto registry = filled<ArchOptimizer>("architecture optimizer", register_arch_optimizers);
  return registry;
}

const Registry<Component<Controller>>& controllers() {
  static const auto registry = filled<Controller>("controller", register_controllers);
  return registry;
}

const Registry<Component<Discretisation>>& discretisations() {
  static const auto registry = filled<Discretisation>("discretisation", register_discretisations);
  return registry;
}

const Registry<Method>& methods() {
  static const auto registry = [] {
    Registry<Method> members("method");
    register_methods(members);
    return members;
  }();
  return registry;
}

}  // namespace dnas::search
