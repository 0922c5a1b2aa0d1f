#pragma once

#include "dnas/engine/dataset.hpp"
#include "dnas/engine/loader.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/search_model.hpp"
#include "dnas/search/search_run.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace dnas::search {

/// Everything a search works with, made from its configuration. Plans every evaluation; allocates no activations.
class Session {
 public:
  /// @throws ConfigError listing every problem; MissingError, DataError, IoError from the data
  explicit Session(const SearchConfig& config);

  [[nodiscard]] SearchPlan plan() const;
  [[nodiscard]] std::size_t data_bytes() const;

  /// Steps per epoch, and batches per validation.
  [[nodiscard]] std::int64_t steps() const noexcept { return limited(train_loader.steps_per_epoch()); }
  [[nodiscard]] std::int64_t validation_steps() const noexcept { return limited(validation_loader.steps_per_epoch()); }

  engine::Dataset dataset;
  SearchModel model;
  engine::Loader train_loader;
  engine::Loader arch_loader;
  engine::Loader validation_loader;

 private:
  [[nodiscard]] std::int64_t limited(std::int64_t steps) const noexcept {
    return model.config.max_steps == 0 ? steps : std::min(steps, model.config.max_steps);
  }
};

}  // namespace dnas::search
