#include "dnas/kernels/context.hpp"

#include "dnas/kernels/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dnas {
namespace {

TEST(Context, HasTheThreadsAskedFor) {
  EXPECT_EQ(Context::cpu(3).threads(), 3);
  EXPECT_EQ(Context::cpu(3).device(), DeviceKind::cpu);
}

TEST(Context, TakesAllThreadsByDefault) {
  EXPECT_GE(Context::cpu().threads(), 1);
}

TEST(Context, RefusesNegativeThreads) {
  EXPECT_THAT([] { (void)Context::cpu(-1); },
              ::testing::ThrowsMessage<ConfigError>(::testing::HasSubstr("threads is -1, expected 0 (all) or more")));
}

}  // namespace
}  // namespace dnas
