#include "dnas/search/controller.hpp"

#include "dnas/kernels/error.hpp"

#include <gtest/gtest.h>

namespace dnas::search {
namespace {

double cosine(const SearchConfig& config, std::int64_t epoch) {
  Schedule schedule = schedule_of(config, {}, epoch);
  make_part(controllers(), PartChoice{"cosine", {}})->begin_epoch(config, epoch, schedule);
  EXPECT_TRUE(schedule.update_alpha);
  return schedule.learning_rate;
}

// PyTorch's CosineAnnealingLR(T_max = 50, eta_min = 0.001) from 0.025, to the digits given.
TEST(Cosine, HasTheKnownValues) {
  const SearchConfig config;
  EXPECT_DOUBLE_EQ(cosine(config, 0), 0.025);
  EXPECT_NEAR(cosine(config, 1), 0.0249763, 5e-8);
  EXPECT_NEAR(cosine(config, 10), 0.0227082, 5e-8);
  EXPECT_NEAR(cosine(config, 25), 0.013, 1e-12);
  EXPECT_NEAR(cosine(config, 49), 0.0010237, 5e-8);
}

TEST(Cosine, FollowsTheSettings) {
  SearchConfig config;
  config.epochs = 4;
  config.learning_rate = 1.0;
  config.learning_rate_min = 0.0;
  EXPECT_DOUBLE_EQ(cosine(config, 0), 1.0);
  EXPECT_NEAR(cosine(config, 2), 0.5, 1e-12);
  EXPECT_NEAR(cosine(config, 3), 0.14644661, 1e-8);  // (1 - sqrt(1/2)) / 2
}

double tau(const std::string& part, std::int64_t epoch, std::int64_t epochs) {
  SearchConfig config;
  config.epochs = epochs;
  Schedule schedule = schedule_of(config, {}, epoch);
  make_part(controllers(), parse_part(part))->begin_epoch(config, epoch, schedule);
  return schedule.tau;
}

// The temperatures of GDAS, SNAS and FBNet.
TEST(Anneal, HasTheKnownValues) {
  EXPECT_DOUBLE_EQ(tau("anneal", 0, 250), 10.0);
  EXPECT_NEAR(tau("anneal", 249, 250), 0.1, 1e-12);
  EXPECT_NEAR(tau("anneal", 125, 250), 5.0301, 5e-5);
  EXPECT_DOUBLE_EQ(tau("anneal(shape=linear, first=1.0, last=0.03)", 0, 150), 1.0);
  EXPECT_NEAR(tau("anneal(shape=linear, first=1.0, last=0.03)", 75, 150), 0.03 + 0.97 * 0.5, 1e-12);
  EXPECT_NEAR(tau("anneal(shape=exponential, first=5.0)", 50, 90), 0.5269961, 5e-8);
  EXPECT_DOUBLE_EQ(tau("anneal", 0, 1), 10.0);
}

TEST(Anneal, RefusesWhatIsNoTemperature) {
  EXPECT_THROW(tau("anneal(last=0.0)", 0, 10), ConfigError);
  EXPECT_THROW(tau("anneal(shape=round)", 0, 10), ConfigError);
}

TEST(FreezeAlpha, LeavesAlphaAloneInTheFirstEpochsOfEachStage) {
  const auto freeze = make_part(controllers(), parse_part("freeze_alpha(epochs=15)"));
  const auto updates = [&](std::int64_t stage_begin, std::int64_t epoch) {
    Schedule schedule{.stage_begin = stage_begin, .stage_end = stage_begin + 25};
    freeze->begin_epoch(SearchConfig{}, epoch, schedule);
    return schedule.update_alpha;
  };
  EXPECT_FALSE(updates(0, 0));
  EXPECT_FALSE(updates(0, 14));
  EXPECT_TRUE(updates(0, 15));
  EXPECT_FALSE(updates(25, 25));
  EXPECT_FALSE(updates(25, 39));
  EXPECT_TRUE(updates(25, 40));
}

}  // namespace
}  // namespace dnas::search
