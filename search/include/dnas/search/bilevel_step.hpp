#pragma once

#include "dnas/engine/sgd.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/architecture.hpp"
#include "dnas/search/perturbation.hpp"
#include "dnas/search/supernet.hpp"

#include <cstdint>
#include <vector>

namespace dnas::search {

/// Which of the two splits a batch is from: keys random nodes, so that all evaluations of a step on one batch draw
/// alike, and sampled relaxations.
enum class Split : std::uint8_t { weights, architecture };

/// What a bilevel step works on: the moving parts of a search.
struct SearchState {
  Supernet& net;
  Architecture& architecture;
  ArchOptimizer& arch_optimizer;
  engine::ParameterSet& weights;
  engine::ParameterSet& states;  ///< running statistics
  engine::Sgd& optimizer;
  Architecture::LossTerms loss_terms = {};
  Perturbation* perturbation = nullptr;  ///< of the weight step; nullptr: none
  ArchOptimizer::Settings arch_settings = {};
  double learning_rate = 0.025;  ///< of the weights, this epoch
  double grad_clip = 5.0;        ///< 0: none
  double arch_grad_clip = 0.0;   ///< likewise of the architecture gradient
  bool update_alpha = true;
  double tau = 1.0;  ///< temperature of the relaxation, this epoch
  LossTerm::Moment moment = {};
  std::vector<float> rates = {};  ///< of the transforms, this epoch
  std::uint64_t seed = 0;         ///< keys the noise of a step, with `step`
  std::uint32_t step = 0;

  /// Computes the mixing weights from the present architecture parameters.
  void relax(Phase phase);

  /// Evaluates the supernet with the present mixing weights.
  const Supernet::Result& evaluate(Want want, Split split, const engine::Batch& batch, std::span<float> at_weights,
                                   std::span<float> at_states);

  /// Writes the architecture gradient of the loss with all its terms; returns the loss.
  double arch_backward(const Supernet::Result& result);

  /// Updates the architecture parameters from their gradient.
  void update_architecture();
};

/// How the two gradients of the bilevel problem are formed and ordered:
/// min over alpha of L_val(w*(alpha), alpha), subject to w*(alpha) = argmin over w of L_train(w, alpha).
class BilevelStep {
 public:
  virtual ~BilevelStep() = default;

  struct Result {
    double train_loss = 0.0;
    TensorView train_logits;  ///< of the weight step; valid until the next evaluation
  };

  /// One iteration on a batch of the weight split and one of the architecture split: the architecture step, unless
  /// alpha is not updated in this epoch, then the weight step.
  virtual Result step(SearchState& state, const engine::Batch& train, const engine::Batch& arch);

  /// The architecture gradient alone, into state.architecture.gradient(). Nothing is updated but running statistics.
  /// On entry the architecture is relaxed for its step. Returns the loss.
  virtual double arch_gradient(SearchState& state, const engine::Batch& train, const engine::Batch& arch) = 0;

  /// Evaluations that step() makes on a batch of each split, for planning.
  [[nodiscard]] virtual std::vector<Want> train_wants() const = 0;
  [[nodiscard]] virtual std::vector<Want> arch_wants() const = 0;

  /// Allocates what step() needs besides the supernet's memory, and returns the bytes. Before the first step.
  virtual std::size_t prepare(const engine::NetworkTables& tables, std::size_t architecture_parameters) = 0;

 protected:
  /// Relaxation, architecture gradient and update, unless alpha is not updated in this epoch.
  void arch_step(SearchState& state, const engine::Batch& train, const engine::Batch& arch);
  /// Relaxation, perturbation, gradient at the present weights, clipping, SGD.
  static Result weight_step(SearchState& state, const engine::Batch& train);
};

void register_bilevel(Registry<Component<BilevelStep>>& registry);
[[nodiscard]] const Registry<Component<BilevelStep>>& bilevel_steps();

}  // namespace dnas::search
