#include "dnas/kernels/error.hpp"
#include "dnas/search/controller.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace dnas::search::family::controllers {

namespace {

/// Stops when the first cell of the present genotype has `skips` skip connections, and returns the last genotype that
/// had fewer: the sign that the search has begun to collapse. The first epoch's genotype is returned if it has as many.
class StopSkips final : public Controller {
 public:
  explicit StopSkips(std::int64_t skips) : skips_(skips) {}

  void end_epoch(EpochEnd& end) override {
    const std::vector<GenotypeEdge>& edges = end.genotype.cells.front().cell.edges;
    const auto found = std::ranges::count_if(edges, [](const auto& edge) { return edge.op == "skip_connect"; });
    if (found < skips_) {
      last_ = to_json(end.genotype);
      return;
    }
    end.stop_with = last_.empty() ? end.genotype : parse_genotype(last_);
    end.log(fmt::format("stop: {} skip connections after epoch {}", found, end.epoch));
  }

  [[nodiscard]] std::string state() const override { return nlohmann::json(last_).dump(); }
  void restore(std::string_view state) override {
    const auto json = nlohmann::json::parse(state, nullptr, false);
    if (!json.is_string()) throw DataError("stop_skips: its state in the checkpoint is no text");
    last_ = json.get<std::string>();
  }

 private:
  std::int64_t skips_;
  std::string last_;  // genotype.json of the last epoch with fewer skip connections
};

}  // namespace

void register_stop_skips(Registry<Component<Controller>>& registry) {
  registry.add({.name = "stop_skips",
                .help = "stops when the normal cell has this many skip connections; returns the genotype before",
                .source = "Liang et al. 2019 (DARTS+), arXiv:1909.06035, criterion 1",
                .defaults = {{"skips", std::int64_t{2}}},
                .make = [](const Options& options) -> std::unique_ptr<Controller> {
                  const std::int64_t skips = options.integer("skips");
                  if (skips < 1) throw ConfigError(fmt::format("stop_skips: skips is {}, expected 1 or more", skips));
                  return std::make_unique<StopSkips>(skips);
                }});
}

}  // namespace dnas::search::family::controllers
