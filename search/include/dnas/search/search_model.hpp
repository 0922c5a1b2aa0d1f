#pragma once

#include "dnas/engine/parameters.hpp"
#include "dnas/engine/sgd.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/architecture.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/loss_term.hpp"
#include "dnas/search/perturbation.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/supernet.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace dnas::search {

/// The moving parts of a search but for its data, made from a configuration and initialised. Allocates no activations.
class SearchModel {
 public:
  /// `stage` makes the initial values of another stage others.
  /// @throws ConfigError listing every problem of the configuration; as Space::build_supernet
  SearchModel(const SearchConfig& config, const NetworkConfig& network, std::int64_t stage = 0);

  /// Sets the learning rate and everything else that depends on the epoch.
  void begin_epoch(std::int64_t epoch, const Schedule& schedule);

  /// Plans what steps evaluate on batches of this size, of either split.
  void prepare_weight_step(std::int64_t batch);
  void prepare_arch_step(std::int64_t train_batch, std::int64_t arch_batch);
  void prepare_validation(std::int64_t batch);

  /// Weights, their gradient and momentum, running statistics, and what the bilevel step holds.
  [[nodiscard]] std::size_t bytes() const;

  /// Present architecture made discrete.
  [[nodiscard]] Genotype genotype();

  /// Loss and logits of a batch in evaluation mode, with the present architecture.
  const Supernet::Result& validate(const engine::Batch& batch);

  const SearchConfig config;
  Context ctx;
  std::shared_ptr<const Space> space;
  Supernet net;
  Architecture architecture;
  std::vector<std::unique_ptr<const LossTerm>> terms;
  std::unique_ptr<Perturbation> perturbation;  ///< nullptr: none
  std::unique_ptr<ArchOptimizer> arch_optimizer;
  std::unique_ptr<BilevelStep> bilevel;
  std::unique_ptr<const Discretisation> discretisation;
  engine::ParameterSet weights;
  engine::ParameterSet states;
  engine::Sgd optimizer;
  SearchState state;

 private:
  std::size_t bilevel_bytes_ = 0;
};

}  // namespace dnas::search
