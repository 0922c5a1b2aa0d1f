#include "dnas/search/search_run.hpp"

#include "search/runs.hpp"
#include "support/temp_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>

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

/// One normal cell, two reductions, 150 steps. One thread, so that the time does not depend on what else runs.
///
/// Which seeds find the operation depends on rounding, as trajectories are chaotic: of seeds 1 to 10 first order found
/// it in 8 with fused nodes and in 9 without. So two of at most three seeds have to.
SearchConfig planted_search(const std::string& bilevel, std::int64_t seed) {
  SearchConfig config;
  config.bilevel = bilevel;
  config.dataset = "planted";
  config.init_channels = 8;
  config.layers = 3;
  config.epochs = 3;
  config.max_steps = 50;
  config.batch_size = 32;
  config.arch_learning_rate = 0.05;
  config.seed = seed;
  config.threads = 1;
  return config;
}

/// Whether a search learns its images and finds the operation that they are made with: it has the largest mean weight,
/// and is kept on 3 of 8 edges or more, where chance would keep it once. `report` says what came out.
bool finds_operation(const SearchConfig& config, std::ostream& report) {
  const test::TempFolder folder;
  SearchObserver nobody;
  const SearchOutcome outcome = run_search(config, folder / "run", Resume::never, nobody);
  std::map<std::string, double> means = mean_weights(folder / "run");
  const double planted = means.at("dil_conv_5x5");
  means.erase("dil_conv_5x5");
  const auto other = std::ranges::max_element(means, {}, &std::pair<const std::string, double>::second);
  const auto kept = std::ranges::count(outcome.genotype.cell("normal").edges, "dil_conv_5x5", &GenotypeEdge::op);
  report << "seed " << config.seed << ": accuracy " << outcome.valid_top1 << " %, mean weight " << planted
         << ", the next is " << other->first << " with " << other->second << ", kept " << kept << " times\n";
  return outcome.valid_top1 > 80.0 && planted > other->second && kept >= 3;
}

class Planted : public ::testing::TestWithParam<std::string> {};

TEST_P(Planted, BestOperationIsFound) {
  std::ostringstream report;
  int found = 0;
  for (std::int64_t seed = 1; seed <= 3 && found < 2; ++seed)
    found += finds_operation(planted_search(GetParam(), seed), report) ? 1 : 0;
  EXPECT_EQ(found, 2) << report.str();
  RecordProperty("searches", report.str());
}

INSTANTIATE_TEST_SUITE_P(Search, Planted, ::testing::Values("alternating", "unrolled"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace dnas::search
