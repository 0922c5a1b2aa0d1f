#include "dnas/search/search_run.hpp"

#include "search/runs.hpp"
#include "support/temp_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <ostream>

namespace dnas::search {
namespace {

constexpr std::array<const char*, 8> operations{"none",         "max_pool_3x3", "avg_pool_3x3", "skip_connect",
                                                "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"};

/// Mean mixing weight of every operation over the edges of the normal cell, at the end of a run.
std::map<std::string, double> mean_weights(const std::filesystem::path& run) {
  const auto mix = testing_runs::metrics(run).back().at("mix_normal").get<std::vector<double>>();
  std::map<std::string, double> means;
  for (std::size_t i = 0; i < mix.size(); ++i)
    means[operations[i % operations.size()]] += mix[i] / static_cast<double>(mix.size() / operations.size());
  return means;
}

struct Case {
  const char* bilevel;
  double arch_learning_rate;
  std::int64_t steps;  ///< per epoch
  friend std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.bilevel; }
};

/// One normal cell, two reductions, 120 to 150 steps. One thread, so that the time does not depend on what else runs.
///
/// Which seeds find the operation depends on rounding: of seeds 1 to 10 first order finds it in 8 with fused nodes and
/// in 9 without, second order, with its fewer steps, in 4 with fused nodes. So a failure after a change that only
/// reorders sums may be chance: look at other seeds before blaming the search.
SearchConfig planted_search(const Case& c) {
  SearchConfig config;
  config.bilevel = c.bilevel;
  config.dataset = "planted";
  config.init_channels = 8;
  config.layers = 3;
  config.epochs = 3;
  config.max_steps = c.steps;
  config.batch_size = 32;
  config.arch_learning_rate = c.arch_learning_rate;
  config.seed = 1;
  config.threads = 1;
  return config;
}

class Planted : public ::testing::TestWithParam<Case> {};

TEST_P(Planted, BestOperationIsFound) {
  const test::TempFolder folder;
  SearchObserver nobody;
  const SearchOutcome outcome = run_search(planted_search(GetParam()), folder / "run", Resume::never, nobody);
  EXPECT_GT(outcome.valid_top1, 80.0);
  const std::map<std::string, double> means = mean_weights(folder / "run");
  const double planted = means.at("dil_conv_5x5");
  double best_other = 0.0;
  for (const auto& [operation, mean] : means) {
    if (operation == "dil_conv_5x5") continue;
    EXPECT_GT(planted, mean) << operation;
    best_other = std::max(best_other, mean);
  }
  RecordProperty("margin", std::to_string(planted - best_other));
  const auto kept = std::ranges::count(outcome.genotype.normal.edges, "dil_conv_5x5", &GenotypeEdge::op);
  EXPECT_GE(kept, 3) << "of 8 edges; chance would keep it once. " << to_text(outcome.genotype);
}

INSTANTIATE_TEST_SUITE_P(Search, Planted, ::testing::Values(Case{"alternating", 0.05, 50}, Case{"unrolled", 0.03, 40}),
                         [](const auto& instance) { return std::string(instance.param.bilevel); });

}  // namespace
}  // namespace dnas::search
