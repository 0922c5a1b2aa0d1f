#include "dnas/kernels/error.hpp"
#include "dnas/search/controller.hpp"

#include <fmt/format.h>

namespace dnas::search::family::controllers {

namespace {

/// alpha is not updated in the first epochs of each stage: the weights come first.
class FreezeAlpha final : public Controller {
 public:
  explicit FreezeAlpha(std::int64_t epochs) : epochs_(epochs) {}

 protected:
  void do_begin_epoch(const SearchConfig& /*config*/, std::int64_t epoch, Schedule& schedule) const override {
    if (epoch - schedule.stage_begin < epochs_) schedule.update_alpha = false;
  }

 private:
  std::int64_t epochs_;
};

}  // namespace

void register_freeze_alpha(Registry<Component<Controller>>& registry) {
  registry.add({.name = "freeze_alpha",
                .help = "alpha is not updated in the first epochs of the search, or of each of its stages",
                .source = "Xu et al. 2020 (PC-DARTS), arXiv:1907.05737; Chen et al. 2019 (P-DARTS), arXiv:1904.12760",
                .defaults = {{"epochs", std::int64_t{15}}},
                .make = [](const Options& options) -> std::unique_ptr<Controller> {
                  const std::int64_t epochs = options.integer("epochs");
                  if (epochs < 0)
                    throw ConfigError(fmt::format("freeze_alpha: epochs is {}, expected 0 or more", epochs));
                  return std::make_unique<FreezeAlpha>(epochs);
                }});
}

}  // namespace dnas::search::family::controllers
