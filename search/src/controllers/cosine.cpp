#include "dnas/search/controller.hpp"

#include <cmath>
#include <numbers>

namespace dnas::search::family::controllers {

namespace {

/// lr(e) = min + (max - min) (1 + cos(pi e / E)) / 2, constant within an epoch.
class Cosine final : public Controller {
 protected:
  void do_begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const override {
    const double turn = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(config.epochs);
    schedule.learning_rate =
        config.learning_rate_min + 0.5 * (config.learning_rate - config.learning_rate_min) * (1.0 + std::cos(turn));
  }
};

}  // namespace

void register_cosine(Registry<Component<Controller>>& registry) {
  registry.add({.name = "cosine",
                .help = "the weights' learning rate falls from learning_rate to learning_rate_min by a half cosine",
                .source = "Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts",
                .defaults = {},
                .make = [](const Options&) -> std::unique_ptr<Controller> { return std::make_unique<Cosine>(); }});
}

}  // namespace dnas::search::family::controllers
