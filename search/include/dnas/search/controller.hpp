#pragma once

#include "dnas/search/component.hpp"
#include "dnas/search/config.hpp"

#include <cstdint>

namespace dnas::search {

/// What controllers may change from epoch to epoch.
struct Schedule {
  double learning_rate = 0.0;  ///< of the weights
  bool update_alpha = true;
};

/// What changes over the epochs of a search. Several may be active; each adjusts the schedule in turn.
class Controller {
 public:
  virtual ~Controller() = default;

  /// Called before each epoch (counted from 0) with the schedule as the configuration gives it.
  void begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const {
    do_begin_epoch(config, epoch, schedule);
  }

 protected:
  virtual void do_begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const = 0;
};

void register_controllers(Registry<Component<Controller>>& registry);
[[nodiscard]] const Registry<Component<Controller>>& controllers();

}  // namespace dnas::search
