#include "dnas/search/controller.hpp"

namespace dnas::search {

Schedule schedule_of(const SearchConfig& config, Controllers controllers, std::int64_t epoch) {
  Schedule schedule{.learning_rate = config.learning_rate,
                    .weight_decay = config.weight_decay,
                    .batch_size = config.batch_size,
                    .stage_end = config.epochs,
                    .layers = config.layers};
  for (const auto& controller : controllers)
    controller->begin_epoch(config, epoch, schedule);
  return schedule;
}

}  // namespace dnas::search
