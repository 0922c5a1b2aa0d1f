#include "dnas/search/search_run.hpp"

#include "search/runs.hpp"
#include "support/temp_folder.hpp"

#include <gmock/gmock.h>

// Short searches with every relaxation and edge weighting: alpha learns, and going on after a stop changes nothing.
namespace dnas::search {
namespace {

using namespace testing_runs;
using test::TempFolder;

struct Combination {
  const char* name;
  const char* relaxation;
  const char* edge_weighting = "sum";
  const char* arch_optimizer = "adam";
};

class SearchRunOfParts : public ::testing::TestWithParam<Combination> {
 protected:
  static SearchConfig config() {
    SearchConfig config = tiny_search();
    config.epochs = 1;
    config.relaxation = GetParam().relaxation;
    config.edge_weighting = GetParam().edge_weighting;
    config.arch_optimizer = GetParam().arch_optimizer;
    config.arch_weight_decay = 0.0;
    config.arch_learning_rate = 0.05;
    return config;
  }
  static std::string arch(const std::filesystem::path& run) {
    return newest_checkpoint(run).at("ckpt-000000003/arch.safetensors");
  }
};

TEST_P(SearchRunOfParts, LearnsAlphaAndGoesOnAfterAStop) {
  const TempFolder folder;
  Recorder whole;
  const SearchOutcome outcome = run_search(config(), folder / "whole", Resume::never, whole);
  EXPECT_TRUE(outcome.finished);
  Recorder stopping(2);
  run_search(config(), folder / "stopped", Resume::never, stopping);
  Recorder rest;
  const SearchOutcome resumed = run_search(config(), folder / "stopped", Resume::automatic, rest);
  EXPECT_EQ(resumed.genotype, outcome.genotype);
  EXPECT_EQ(newest_checkpoint(folder / "stopped"), newest_checkpoint(folder / "whole"));
  EXPECT_EQ(metrics(folder / "stopped"), metrics(folder / "whole"));

  SearchConfig fixed = config();
  fixed.arch_optimizer = "none";
  Recorder nothing_learnt;
  run_search(fixed, folder / "fixed", Resume::never, nothing_learnt);
  EXPECT_NE(arch(folder / "whole"), arch(folder / "fixed"));
}

INSTANTIATE_TEST_SUITE_P(
    SearchRun, SearchRunOfParts,
    ::testing::Values(Combination{"sigmoid", "sigmoid"}, Combination{"gumbel_soft", "gumbel_soft"},
                      Combination{"gumbel_hard", "gumbel_hard"}, Combination{"gate_full", "gate"},
                      Combination{"gate_two", "gate(mode=two)"}, Combination{"dirichlet", "dirichlet"},
                      Combination{"edge_softmax", "softmax", "edge_softmax"},
                      Combination{"distributions", "simplex", "edge_simplex", "exponentiated_gradient"}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace dnas::search
