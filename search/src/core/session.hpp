#pragma once

#include "dnas/engine/dataset.hpp"
#include "dnas/engine/loader.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/controller.hpp"
#include "dnas/search/search_model.hpp"
#include "dnas/search/search_run.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace dnas::search {

/// Everything a search works with, made from its configuration. Plans every evaluation; allocates no activations.
class Session {
 public:
  /// As the first epoch needs it.
  /// @throws ConfigError listing every problem; MissingError, DataError, IoError from the data
  explicit Session(const SearchConfig& config);

  /// Makes everything ready for an epoch, and returns its schedule. Where the schedule says so, the supernet is built
  /// anew, with new weights and a new alpha for the candidates that are present.
  Schedule begin_epoch(std::int64_t epoch);

  [[nodiscard]] SearchPlan plan() const;

  /// Steps per epoch, and batches per validation.
  [[nodiscard]] std::int64_t steps() const noexcept { return limited(train_loader().steps_per_epoch()); }
  [[nodiscard]] std::int64_t validation_steps() const noexcept {
    return limited(validation_loader().steps_per_epoch());
  }

  [[nodiscard]] SearchModel& model() noexcept { return *model_; }
  [[nodiscard]] const SearchModel& model() const noexcept { return *model_; }
  [[nodiscard]] engine::Loader& train_loader() noexcept { return loaders_->train; }
  [[nodiscard]] const engine::Loader& train_loader() const noexcept { return loaders_->train; }
  [[nodiscard]] engine::Loader& arch_loader() noexcept { return loaders_->arch; }
  [[nodiscard]] engine::Loader& validation_loader() noexcept { return loaders_->validation; }
  [[nodiscard]] const engine::Loader& validation_loader() const noexcept { return loaders_->validation; }

  const SearchConfig config;
  engine::Dataset dataset;
  std::vector<std::unique_ptr<Controller>> controllers;

 private:
  struct Loaders {
    engine::Loader train;
    engine::Loader arch;
    engine::Loader validation;
    [[nodiscard]] std::size_t bytes() const { return train.bytes() + arch.bytes() + validation.bytes(); }
  };

  void build_model();
  void build_loaders();
  void prepare();
  [[nodiscard]] std::size_t data_bytes() const;
  [[nodiscard]] std::int64_t limited(std::int64_t steps) const noexcept {
    return config.max_steps == 0 ? steps : std::min(steps, config.max_steps);
  }

  Schedule schedule_;
  std::unique_ptr<SearchModel> model_;
  std::unique_ptr<Loaders> loaders_;
};

}  // namespace dnas::search
