#include "dnas/kernels/error.hpp"
#include "dnas/search/controller.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace dnas::search::family::controllers {

namespace {

/// Candidates with weights of their own: what the ranking is about.
bool is_learnable(const std::string& candidate) {
  return candidate.find("conv") != std::string::npos;
}

/// Stops when the ranking of each edge's learnable candidates by weight has been the same for `epochs` epochs. The
/// paper leaves open which statistic is ranked; here it is the relaxed weight on every edge of every cell.
class StopRanking final : public Controller {
 public:
  explicit StopRanking(std::int64_t epochs) : epochs_(epochs) {}

  void end_epoch(EpochEnd& end) override {
    std::vector<std::int64_t> ranking = ranking_of(end.state.architecture);
    unchanged_ = ranking == ranking_ ? unchanged_ + 1 : 0;
    ranking_ = std::move(ranking);
    if (unchanged_ < epochs_) return;
    end.stop_with = end.genotype;
    end.log(fmt::format("stop: the ranking has not changed for {} epochs, after epoch {}", unchanged_, end.epoch));
  }

  [[nodiscard]] std::string state() const override { return nlohmann::json{unchanged_, ranking_}.dump(); }
  void restore(std::string_view state) override {
    try {
      const auto json = nlohmann::json::parse(state);
      json.at(0).get_to(unchanged_);
      json.at(1).get_to(ranking_);
    } catch (const nlohmann::json::exception& error) {
      throw DataError(fmt::format("stop_ranking: its state in the checkpoint does not fit ({})", error.what()));
    }
  }

 private:
  static std::vector<std::int64_t> ranking_of(const Architecture& architecture) {
    std::vector<std::int64_t> ranking;
    for (std::size_t g = 0; g < architecture.groups().size(); ++g) {
      const ChoiceGroup& group = architecture.groups()[g];
      for (std::int64_t e = 0; e < group.rows(); ++e) {
        const float* row = architecture.weights()[g].f32() + e * group.columns();
        const std::vector<std::string>& candidates = group.edges[static_cast<std::size_t>(e)].candidates;
        std::vector<std::int64_t> order;
        for (std::size_t k = 0; k < candidates.size(); ++k) {
          if (is_learnable(candidates[k])) order.push_back(static_cast<std::int64_t>(k));
        }
        std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) { return row[a] > row[b]; });
        ranking.insert(ranking.end(), order.begin(), order.end());
      }
    }
    return ranking;
  }

  std::int64_t epochs_;
  std::int64_t unchanged_ = 0;
  std::vector<std::int64_t> ranking_;
};

}  // namespace

void register_stop_ranking(Registry<Component<Controller>>& registry) {
  registry.add({.name = "stop_ranking",
                .help = "stops when the ranking of the learnable candidates has not changed for some epochs",
                .source = "Liang et al. 2019 (DARTS+), arXiv:1909.06035, criterion 2",
                .defaults = {{"epochs", std::int64_t{10}}},
                .make = [](const Options& options) -> std::unique_ptr<Controller> {
                  const std::int64_t epochs = options.integer("epochs");
                  if (epochs < 1)
                    throw ConfigError(fmt::format("stop_ranking: epochs is {}, expected 1 or more", epochs));
                  return std::make_unique<StopRanking>(epochs);
                }});
}

}  // namespace dnas::search::family::controllers
