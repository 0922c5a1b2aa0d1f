#pragma once

#include "dnas/engine/loader.hpp"
#include "dnas/search/bilevel_step.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/genotype.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dnas::search {

/// What controllers may change from epoch to epoch.
struct Schedule {
  double learning_rate = 0.0;  ///< of the weights
  double weight_decay = 0.0;   ///< likewise
  double tau = 1.0;            ///< temperature of the relaxation
  bool update_alpha = true;
  std::int64_t batch_size = 0;

  /// The part of the search that the epoch belongs to: [first epoch, last epoch). Rates of transforms, perturbations
  /// and loss terms run over it.
  std::int64_t stage = 0;
  std::int64_t stage_begin = 0;
  std::int64_t stage_end = 1;

  /// The network of the epoch. Where it or the stage differs from the one before, the supernet is built and initialised
  /// anew; which candidates are present is all that stays.
  std::int64_t layers = 0;
  std::int64_t channel_divisor = 0;  ///< k of the transform partial_channel; 0: as that says

  [[nodiscard]] bool same_network(const Schedule& other) const noexcept {
    return stage == other.stage && layers == other.layers && channel_divisor == other.channel_divisor;
  }
};

/// What a controller sees after an epoch, and what it may do.
struct EpochEnd {
  const SearchConfig& config;
  std::int64_t epoch;  ///< that has just ended, from 0
  const Schedule& schedule;
  SearchState& state;  ///< relaxed weights of Phase::expected; present flags may be changed
  const Space& space;
  const Genotype& genotype;  ///< of the present architecture
  double valid_top1;         ///< percent; NaN if not measured
  /// The i-th batch of the architecture split, for measurements.
  std::function<engine::Batch(std::int64_t)> arch_batch;
  std::function<void(const std::string&)> log;

  // Answers.
  std::optional<Genotype> stop_with;         ///< the search ends here, with this genotype
  std::optional<std::int64_t> roll_back_to;  ///< the search goes on from the end of this epoch
};

/// What changes over the epochs of a search. Several may be active, in their order.
class Controller {
 public:
  virtual ~Controller() = default;

  /// Before each epoch (counted from 0), with the schedule as the configuration gives it: adjusts it. Depends on
  /// nothing but the arguments and state().
  void begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const {
    do_begin_epoch(config, epoch, schedule);
  }

  /// After each epoch. What it decides about candidates it writes into the architecture, whose present flags are in
  /// checkpoints.
  virtual void end_epoch(EpochEnd& /*end*/) {}

  /// What it has to remember, as JSON text; part of checkpoints. Survives a rollback.
  [[nodiscard]] virtual std::string state() const { return "null"; }
  /// @throws DataError if the text is not what state() returns
  virtual void restore(std::string_view /*state*/) {}

 protected:
  virtual void do_begin_epoch(const SearchConfig& /*config*/, std::int64_t /*epoch*/, Schedule& /*schedule*/) const {}
};

using Controllers = std::span<const std::unique_ptr<Controller>>;

/// The schedule of an epoch: the configuration's, adjusted by each controller in turn.
[[nodiscard]] Schedule schedule_of(const SearchConfig& config, Controllers controllers, std::int64_t epoch);

void register_controllers(Registry<Component<Controller>>& registry);
[[nodiscard]] const Registry<Component<Controller>>& controllers();

}  // namespace dnas::search
