#include "dnas/kernels/error.hpp"
#include "search/relaxing.hpp"
#include "support/throws.hpp"

namespace dnas::search {
namespace {

using namespace testing_relaxations;
using test::message_of;
using ::testing::HasSubstr;

TEST(Simplex, WeightsAreAlphaAndSoIsTheGradient) {
  Bench bench("simplex", 3, 5);
  fill_normal(bench.alpha, 1, 0.1);
  fill_normal(bench.dweights, 2, 1.0);
  bench.forward();
  bench.backward();
  EXPECT_EQ(bench.weights, bench.alpha);
  EXPECT_EQ(bench.dalpha, bench.dweights);
}

TEST(Simplex, StartsUniform) {
  const Bench bench("simplex", 1, 1);
  EXPECT_EQ(bench.relaxation->start(8).mean, 0.125);
  EXPECT_EQ(bench.relaxation->start(3).mean, 1.0 / 3.0);
  EXPECT_EQ(bench.relaxation->start(8).deviation, 0.0);
}

TEST(Simplex, UpdateRaisesToTheFloorAndDividesByTheSum) {
  Bench bench("simplex(floor=1e-3)", 2, 4);
  const std::vector<float> after = bench.updated({0.5F, 0.25F, 0.0F, 1e-9F, 3.0F, 1.0F, 2.0F, 2.0F});
  const double sum = 0.752;
  EXPECT_NEAR(after[0], 0.5 / sum, 1e-7);
  EXPECT_NEAR(after[1], 0.25 / sum, 1e-7);
  EXPECT_NEAR(after[2], 1e-3 / sum, 1e-9);
  EXPECT_NEAR(after[3], 1e-3 / sum, 1e-9);
  EXPECT_EQ(std::vector<float>(after.begin() + 4, after.end()), (std::vector<float>{0.375F, 0.125F, 0.25F, 0.25F}));
}

TEST(Simplex, UpdateCountsOnlyWhatIsThere) {
  Bench bench("simplex", 2, 4);
  bench.alpha = {0.2F, absent, 0.3F, absent, absent, absent, absent, absent};
  const std::vector<float> after = bench.updated({0.2F, 0.4F, 0.6F, 0.1F, 0.1F, 0.2F, 0.3F, 0.4F});
  EXPECT_EQ(after, (std::vector<float>{0.25F, 0.4F, 0.75F, 0.1F, 0.1F, 0.2F, 0.3F, 0.4F}));
}

TEST(Simplex, RefusesAFloorThatIsNone) {
  EXPECT_THAT(message_of<ConfigError>([] { Bench("simplex(floor=0)", 1, 1); }), HasSubstr("floor is 0"));
  EXPECT_THAT(message_of<ConfigError>([] { Bench("simplex(floor=0.5)", 1, 1); }), HasSubstr("floor is 0.5"));
}

}  // namespace
}  // namespace dnas::search
