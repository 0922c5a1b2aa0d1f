#include "dnas/search/controller.hpp"

#include <gtest/gtest.h>

namespace dnas::search {
namespace {

double cosine(const SearchConfig& config, std::int64_t epoch) {
  Schedule schedule{.learning_rate = config.learning_rate, .update_alpha = true};
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

}  // namespace
}  // namespace dnas::search
