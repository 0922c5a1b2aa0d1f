#pragma once

#include "dnas/engine/sgd.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/architecture.hpp"
#include "dnas/search/supernet.hpp"

#include <cstdint>
#include <vector>

namespace dnas::search {

/// What a bilevel step works on: the moving parts of a search.
struct SearchState {
  Supernet& net;
  Architecture& architecture;
  ArchOptimizer& arch_optimizer;
  engine::ParameterSet& weights;
  engine::ParameterSet& states;  ///< running statistics
  engine::Sgd& optimizer;
  ArchOptimizer::Settings arch_settings;
  double learning_rate = 0.025;  ///< of the weights, this epoch
  double grad_clip = 5.0;        ///< 0: none
  bool update_alpha = true;
  std::uint64_t seed = 0;  ///< keys the noise of sampled relaxations, with `step`
  std::uint32_t step = 0;

  /// Computes the mixing weights from the present architecture parameters.
  void relax() { architecture.relax(net.context(), seed, step); }
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

  /// One iteration on a batch of the weight split and one of the architecture split. On entry the architecture is
  /// relaxed.
  virtual Result step(SearchState& state, const engine::Batch& train, const engine::Batch& arch);

  /// The architecture gradient alone, into state.architecture.gradient(). Nothing is updated but running statistics.
  /// Returns the loss on the architecture batch.
  virtual double arch_gradient(SearchState& state, const engine::Batch& train, const engine::Batch& arch) = 0;

  /// Evaluations that step() makes on a batch of each split, for planning.
  [[nodiscard]] virtual std::vector<Want> train_wants() const = 0;
  [[nodiscard]] virtual std::vector<Want> arch_wants() const = 0;

  /// Allocates what step() needs besides the supernet's memory, and returns the bytes. Before the first step.
  virtual std::size_t prepare(const engine::NetworkTables& tables, std::size_t architecture_parameters) = 0;

 protected:
  /// Gradient at the present weights, clipping, SGD.
  static Result weight_step(SearchState& state, const engine::Batch& train);
};

void register_bilevel(Registry<Component<BilevelStep>>& registry);
[[nodiscard]] const Registry<Component<BilevelStep>>& bilevel_steps();

}  // namespace dnas::search
