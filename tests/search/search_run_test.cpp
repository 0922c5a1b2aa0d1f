#include "dnas/search/search_run.hpp"

#include "dnas/engine/checkpoint.hpp"
#include "dnas/kernels/error.hpp"
#include "search/runs.hpp"
#include "support/temp_folder.hpp"
#include "support/throws.hpp"

#include <cmath>

namespace dnas::search {
namespace {

using namespace testing_runs;
using test::message_of;
using test::TempFolder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

SearchOutcome run(const SearchConfig& config, const std::filesystem::path& folder, Resume resume = Resume::never) {
  SearchObserver nobody;
  return run_search(config, folder, resume, nobody);
}

TEST(SearchRun, SameSeedGivesTheSameBytes) {
  const TempFolder folder;
  const SearchOutcome first = run(tiny_search(), folder / "first");
  const SearchOutcome second = run(tiny_search(), folder / "second");
  ASSERT_TRUE(first.finished);
  EXPECT_EQ(newest_checkpoint(folder / "first").size(), 4U);  // three parts and the manifest
  EXPECT_EQ(newest_checkpoint(folder / "first"), newest_checkpoint(folder / "second"));
  EXPECT_EQ(first.genotype, second.genotype);
  EXPECT_EQ(test::slurp(folder / "first/genotype.txt"), test::slurp(folder / "second/genotype.txt"));
}

TEST(SearchRun, AnotherSeedGivesAnotherSearch) {
  const TempFolder folder;
  run(tiny_search(), folder / "first");
  SearchConfig other = tiny_search();
  ++other.seed;
  run(other, folder / "second");
  const auto first = newest_checkpoint(folder / "first");
  const auto second = newest_checkpoint(folder / "second");
  for (const char* part : {"ckpt-000000006/model.safetensors", "ckpt-000000006/arch.safetensors"})
    EXPECT_NE(first.at(part), second.at(part)) << part;
}

class SearchRunOfMethod : public ::testing::TestWithParam<const char*> {
 protected:
  static SearchConfig config() {
    SearchConfig config = tiny_search();
    config.bilevel = GetParam();
    return config;
  }
};

TEST_P(SearchRunOfMethod, DoesNotDependOnTheThreads) {
  const TempFolder folder;
  SearchConfig more = config();
  more.epochs = 1;  // threads that wait for each other are slow on a machine that is busy
  more.max_steps = 2;
  run(more, folder / "one");
  more.threads = 2;
  run(more, folder / "two");
  EXPECT_EQ(newest_checkpoint(folder / "one"), newest_checkpoint(folder / "two"));
}

// After every step and every batch of a validation, which takes three in each of the two epochs.
TEST_P(SearchRunOfMethod, StoppedAnywhereEndsTheSame) {
  const TempFolder folder;
  Recorder whole;
  const SearchOutcome outcome = run_search(config(), folder / "whole", Resume::never, whole);
  ASSERT_EQ(whole.asked, 2 * (3 + 3));
  for (int stop_at = 1; stop_at <= whole.asked; ++stop_at) {
    SCOPED_TRACE(stop_at);
    const std::filesystem::path part = folder / ("stopped-" + std::to_string(stop_at));
    Recorder stopping(stop_at);
    const SearchOutcome stopped = run_search(config(), part, Resume::never, stopping);
    EXPECT_FALSE(stopped.finished);
    EXPECT_TRUE(stopped.files.empty());
    Recorder rest;
    const SearchOutcome resumed = run_search(config(), part, Resume::automatic, rest);
    EXPECT_THAT(rest.resumed_at, ElementsAre(stopped.global_step));
    EXPECT_EQ(stopping.steps.size() + rest.steps.size(), whole.steps.size());
    EXPECT_TRUE(resumed.finished);
    EXPECT_EQ(resumed.genotype, outcome.genotype);
    EXPECT_EQ(resumed.valid_top1, outcome.valid_top1);
    EXPECT_EQ(newest_checkpoint(part), newest_checkpoint(folder / "whole"));
    EXPECT_EQ(metrics(part), metrics(folder / "whole"));
    EXPECT_EQ(log_lines(part), log_lines(folder / "whole"));
  }
}

INSTANTIATE_TEST_SUITE_P(Bilevel, SearchRunOfMethod, ::testing::Values("alternating", "unrolled"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(SearchRun, EveryCheckpointLeadsToTheSameEnd) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.checkpoint_steps = 2;
  config.keep_checkpoints = 10;
  run(config, folder / "whole");
  ASSERT_THAT(checkpoints(folder / "whole"),
              ElementsAre("ckpt-000000002", "ckpt-000000003", "ckpt-000000004", "ckpt-000000006"));
  for (const std::string& last : checkpoints(folder / "whole")) {
    SCOPED_TRACE(last);
    const std::filesystem::path copy = folder / ("from-" + last);
    std::filesystem::copy(folder / "whole", copy, std::filesystem::copy_options::recursive);
    for (const std::string& name : checkpoints(copy)) {
      if (name > last) std::filesystem::remove_all(copy / name);
    }
    run(config, copy, Resume::automatic);
    EXPECT_EQ(newest_checkpoint(copy), newest_checkpoint(folder / "whole"));
    EXPECT_EQ(metrics(copy), metrics(folder / "whole"));
    EXPECT_EQ(log_lines(copy), log_lines(folder / "whole"));
  }
}

TEST(SearchRun, DamagedCheckpointIsReportedAndTheOneBeforeIsUsed) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.keep_checkpoints = 10;
  run(config, folder / "run");
  const auto whole = newest_checkpoint(folder / "run");
  test::spill(folder / "run/ckpt-000000006/arch.safetensors", "nothing of use");
  Recorder recorder;
  run_search(config, folder / "run", Resume::automatic, recorder);
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_THAT(recorder.warnings[0], HasSubstr("arch.safetensors"));
  EXPECT_THAT(recorder.resumed_at, ElementsAre(3));
  EXPECT_EQ(newest_checkpoint(folder / "run"), whole);
}

TEST(SearchRun, ResumingAFinishedRunChangesNothing) {
  const TempFolder folder;
  const SearchOutcome first = run(tiny_search(), folder / "run");
  const auto whole = newest_checkpoint(folder / "run");
  const std::string log = test::slurp(folder / "run/log.txt");
  Recorder recorder;
  const SearchOutcome again = run_search(tiny_search(), folder / "run", Resume::automatic, recorder);
  EXPECT_TRUE(again.finished);
  EXPECT_TRUE(recorder.steps.empty());
  EXPECT_EQ(again.genotype, first.genotype);
  EXPECT_EQ(again.valid_top1, first.valid_top1);
  EXPECT_EQ(newest_checkpoint(folder / "run"), whole);
  EXPECT_EQ(test::slurp(folder / "run/log.txt"), log);
}

TEST(SearchRun, UsedFolderIsRefusedUnlessResumed) {
  const TempFolder folder;
  run(tiny_search(), folder / "run");
  const auto before = newest_checkpoint(folder / "run");
  EXPECT_THAT(message_of<ConfigError>([&] { run(tiny_search(), folder / "run"); }),
              AllOf(HasSubstr((folder / "run").string()), HasSubstr("holds a run already"), HasSubstr("--resume")));
  EXPECT_EQ(newest_checkpoint(folder / "run"), before);
}

TEST(SearchRun, ResumingWithOtherSettingsNamesThem) {
  const TempFolder folder;
  run(tiny_search(), folder / "run");
  const std::string settings = test::slurp(folder / "run/config.json");
  SearchConfig other = tiny_search();
  other.batch_size = 8;
  other.momentum = 0.5;
  EXPECT_THAT(message_of<ConfigError>([&] { run(other, folder / "run", Resume::automatic); }),
              AllOf(HasSubstr("batch_size was 16, now 8"), HasSubstr("momentum was 0.9, now 0.5"),
                    Not(HasSubstr("seed")), HasSubstr("another folder")));
  EXPECT_EQ(test::slurp(folder / "run/config.json"), settings);
}

TEST(SearchRun, ResumingMayChangeThreadsAndKeptCheckpoints) {
  const TempFolder folder;
  SearchConfig other = tiny_search();
  other.epochs = 1;
  run(other, folder / "whole");
  Recorder stopping(2);
  run_search(other, folder / "run", Resume::never, stopping);
  other.threads = 2;
  other.keep_checkpoints = 5;
  run(other, folder / "run", Resume::automatic);
  EXPECT_EQ(newest_checkpoint(folder / "run"), newest_checkpoint(folder / "whole"));
}

// Fused nodes round otherwise: two steps later the losses still agree to a few digits.
TEST(SearchRun, ResumingMayChangeFusion) {
  const TempFolder folder;
  SearchConfig other = tiny_search();
  other.epochs = 1;
  run(other, folder / "whole");
  Recorder stopping(2);
  run_search(other, folder / "run", Resume::never, stopping);
  other.fusion = !other.fusion;
  Recorder resumed;
  run_search(other, folder / "run", Resume::automatic, resumed);
  EXPECT_EQ(resumed.resumed_at.size(), 1U);
  const double loss = metrics(folder / "run").back().at("train_loss");
  EXPECT_NEAR(loss, metrics(folder / "whole").back().at("train_loss").get<double>(), 1e-3);
}

TEST(SearchRun, LossFallsOnDigits) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.epochs = 3;
  config.max_steps = 20;
  config.batch_size = 32;
  Recorder recorder;
  const SearchOutcome outcome = run_search(config, folder / "run", Resume::never, recorder);
  ASSERT_EQ(recorder.epochs.size(), 3U);
  EXPECT_NEAR(recorder.steps.front().loss, std::log(10.0), 0.5);  // ten classes, nothing learnt
  EXPECT_LT(recorder.epochs[1].train_loss, recorder.epochs[0].train_loss);
  EXPECT_LT(recorder.epochs[2].train_loss, 0.7 * recorder.epochs[0].train_loss);
  EXPECT_GT(outcome.valid_top1, 50.0);
}

TEST(SearchRun, TellsItsObserverEverythingInOrder) {
  const TempFolder folder;
  Recorder recorder;
  const SearchOutcome outcome = run_search(tiny_search(), folder / "run", Resume::never, recorder);
  const std::vector<std::string> epoch{"step",           "step",           "step", "validation 0/3",
                                       "validation 1/3", "validation 2/3", "epoch"};
  std::vector<std::string> expected{"plan"};
  for (int e = 0; e < 2; ++e)
    expected.insert(expected.end(), epoch.begin(), epoch.end());
  EXPECT_EQ(recorder.calls, expected);
  for (std::size_t i = 0; i < recorder.steps.size(); ++i) {
    const StepReport& step = recorder.steps[i];
    EXPECT_EQ(step.epoch, static_cast<std::int64_t>(i / 3));
    EXPECT_EQ(step.step, static_cast<std::int64_t>(i % 3));
    EXPECT_EQ(step.global_step, static_cast<std::int64_t>(i + 1));
    EXPECT_GE(step.top5, step.top1);
  }
  for (std::size_t e = 0; e < 2; ++e) {
    EXPECT_EQ(recorder.epochs[e].epoch, static_cast<std::int64_t>(e));
    EXPECT_EQ(recorder.epochs[e].train_loss, recorder.steps[3 * e + 2].loss);
  }
  EXPECT_EQ(outcome.global_step, 6);
  EXPECT_EQ(outcome.genotype, recorder.epochs.back().genotype);
  EXPECT_EQ(outcome.valid_top1, recorder.epochs.back().valid_top1);
  EXPECT_EQ(log_lines(folder / "run"), recorder.log);
  EXPECT_THAT(recorder.log, Contains("epoch 0 lr 2.500000e-02"));
  EXPECT_THAT(recorder.log, Contains(HasSubstr("genotype = Genotype(normal=[")));
  for (const std::filesystem::path& file : outcome.files)
    EXPECT_TRUE(std::filesystem::exists(file)) << file;
}

TEST(SearchRun, WithoutValidationMeasuresNothing) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.validate = false;
  Recorder recorder;
  const SearchOutcome outcome = run_search(config, folder / "run", Resume::never, recorder);
  EXPECT_TRUE(std::isnan(outcome.valid_top1));
  EXPECT_TRUE(std::isnan(recorder.epochs.front().valid_loss));
  EXPECT_TRUE(metrics(folder / "run").back().at("valid_top1").is_null());
  EXPECT_THAT(recorder.calls, Not(Contains(HasSubstr("validation"))));
}

TEST(SearchRun, EpochMetricsHoldTheMixingWeights) {
  const TempFolder folder;
  run(tiny_search(), folder / "run");
  const Json last = metrics(folder / "run").back();
  EXPECT_EQ(last.at("kind"), "epoch");
  for (const char* group : {"mix_normal", "mix_reduce"}) {
    const auto mix = last.at(group).get<std::vector<double>>();
    ASSERT_EQ(mix.size(), 14U * 8U);
    for (std::size_t row = 0; row < mix.size(); row += 8) {
      double sum = 0.0;
      for (std::size_t k = 0; k < 8; ++k)
        sum += mix[row + k];
      EXPECT_NEAR(sum, 1.0, 1e-5);
    }
  }
}

// Weights of 1e30 overflow in the next evaluation. They are finite, so the checkpoint before it is still a valid one.
TEST(SearchRun, ExplodedLossIsAnErrorAndCheckpointsStayWhole) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.learning_rate = 1e30;
  config.grad_clip = 0.0;
  config.checkpoint_steps = 1;
  EXPECT_THAT(message_of<NumericalError>([&] { run(config, folder / "run"); }),
              AllOf(HasSubstr("the loss is"), HasSubstr("lower the learning rate")));
  ASSERT_THAT(checkpoints(folder / "run"), ElementsAre("ckpt-000000001"));
  EXPECT_NO_THROW((void)engine::CheckpointStore::open(folder / "run/ckpt-000000001"));
  // The error comes again, not another one.
  EXPECT_THROW(run(config, folder / "run", Resume::automatic), NumericalError);
}

TEST(SearchRun, WeightsThatAreNotFiniteAreNotSaved) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.learning_rate = 1e300;  // infinite as a float
  config.checkpoint_steps = 1;
  EXPECT_THAT(message_of<NumericalError>([&] { run(config, folder / "run"); }), HasSubstr("weight"));
  EXPECT_TRUE(checkpoints(folder / "run").empty());
}

TEST(SearchRun, ExplodedAlphaIsAnError) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.arch_learning_rate = 1e300;
  EXPECT_THAT(message_of<NumericalError>([&] { run(config, folder / "run"); }),
              AllOf(HasSubstr("architecture parameter"), HasSubstr("arch_learning_rate")));
}

TEST(SearchRun, ReportsEveryProblemOfTheSettingsAtOnce) {
  const TempFolder folder;
  SearchConfig config = tiny_search();
  config.layers = 0;
  config.momentum = 1.5;
  config.dataset = "digit";
  EXPECT_THAT(message_of<ConfigError>([&] { run(config, folder / "run"); }),
              AllOf(HasSubstr("layers"), HasSubstr("momentum"), HasSubstr("did you mean 'digits'")));
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(SearchPlan, IsWhatTheRunReportsAndWritesNothing) {
  const TempFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const SearchPlan plan = plan_search(tiny_search());
  std::filesystem::current_path(before);
  EXPECT_TRUE(test::entries(folder.path()).empty());

  Recorder recorder;
  run_search(tiny_search(), folder / "run", Resume::never, recorder);
  ASSERT_EQ(recorder.plans.size(), 1U);
  EXPECT_EQ(plan.memory.total(), recorder.plans[0].memory.total());
  EXPECT_EQ(plan.parameters, recorder.plans[0].parameters);
  EXPECT_EQ(plan.alphas, 2 * 14 * 8);
  EXPECT_EQ(plan.steps_per_epoch, 3);
  EXPECT_EQ(plan.epochs, 2);
  EXPECT_EQ(plan.train_images, 718);  // half of the 1,437, rounded down
  EXPECT_EQ(plan.arch_images, 719);
  EXPECT_EQ(plan.threads, 1);
}

TEST(SearchRun, FilesThatAreNotARunsAreLeftAlone) {
  for (const Resume resume : {Resume::never, Resume::automatic}) {
    const test::TempFolder folder;
    test::spill(folder / "log.txt", "somebody else's\n");
    SearchObserver nobody;
    EXPECT_THROW(run_search(tiny_search(), folder.path(), resume, nobody), ConfigError);
    EXPECT_EQ(test::slurp(folder / "log.txt"), "somebody else's\n");
  }
}

}  // namespace
}  // namespace dnas::search
