#include "dnas/search/controller.hpp"

#include <cmath>
#include <numbers>

namespace dnas::search::family::controllers {

namespace {

/// lr(e) = min + (max - min) (1 + cos(pi e / E)) / 2, constant within an epoch; with `restart` e and E are those of the
/// stage.
class Cosine final : public Controller {
 public:
  explicit Cosine(bool restart) : restart_(restart) {}

 protected:
  void do_begin_epoch(const SearchConfig& config, std::int64_t epoch, Schedule& schedule) const override {
    const std::int64_t begin = restart_ ? schedule.stage_begin : 0;
    const std::int64_t end = restart_ ? schedule.stage_end : config.epochs;
    const double turn = std::numbers::pi * static_cast<double>(epoch - begin) / static_cast<double>(end - begin);
    schedule.learning_rate =
        config.learning_rate_min + 0.5 * (config.learning_rate - config.learning_rate_min) * (1.0 + std::cos(turn));
  }

 private:
  bool restart_;
};

}  // namespace

void register_cosine(Registry<Component<Controller>>& registry) {
  registry.add(
      {.name = "cosine",
       .help = "the weights' learning rate falls from learning_rate to learning_rate_min by a half cosine",
       .source = "Loshchilov and Hutter 2017, arXiv:1608.03983; restart: at each of the stages listed before it",
       .defaults = {{"restart", false}},
       .make = [](const Options& options) -> std::unique_ptr<Controller> {
         return std::make_unique<Cosine>(options.flag("restart"));
       }});
}

}  // namespace dnas::search::family::controllers
