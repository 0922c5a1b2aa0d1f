#pragma once

#include "dnas/engine/dataset.hpp"
#include "dnas/engine/loader.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/engine/sgd.hpp"
#include "dnas/search/architecture.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/discretisation.hpp"
#include "dnas/search/search_run.hpp"
#include "dnas/search/supernet.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace dnas::search {

/// Everything a search works with, made from its configuration. Plans every evaluation; allocates no activations.
class Session {
 public:
  /// @throws ConfigError listing every problem; MissingError, DataError, IoError from the data
  explicit Session(const SearchConfig& config);

  [[nodiscard]] SearchPlan plan() const;
  [[nodiscard]] std::size_t weight_bytes() const;
  [[nodiscard]] std::size_t data_bytes() const;

  /// The learning rate and so on of an epoch.
  [[nodiscard]] Schedule schedule(std::int64_t epoch) const;

  /// Steps per epoch, and batches per validation.
  [[nodiscard]] std::int64_t steps() const noexcept { return limited(train_loader.steps_per_epoch()); }
  [[nodiscard]] std::int64_t validation_steps() const noexcept { return limited(validation_loader.steps_per_epoch()); }

  /// Present mixing weights made discrete.
  [[nodiscard]] Genotype genotype();

  const SearchConfig config;
  Context ctx;
  engine::Dataset dataset;
  std::shared_ptr<const Space> space;
  Supernet net;
  Architecture architecture;
  std::unique_ptr<ArchOptimizer> arch_optimizer;
  std::unique_ptr<BilevelStep> bilevel;
  std::unique_ptr<const Discretisation> discretisation;
  std::vector<std::unique_ptr<const Controller>> schedule_controllers;
  engine::ParameterSet weights;
  engine::ParameterSet states;
  engine::Sgd optimizer;
  engine::Loader train_loader;
  engine::Loader arch_loader;
  engine::Loader validation_loader;
  SearchState state;

 private:
  [[nodiscard]] std::int64_t limited(std::int64_t steps) const noexcept {
    return config.max_steps == 0 ? steps : std::min(steps, config.max_steps);
  }
  std::size_t bilevel_bytes_ = 0;
};

}  // namespace dnas::search
