#include "search/relaxing.hpp"

namespace dnas::search {
namespace {

using namespace testing_relaxations;

TEST(Sigmoid, IsTheSigmoidOfEachEntry) {
  Bench bench("sigmoid", 5, 7);
  fill_normal(bench.alpha, 1, 3.0);
  bench.forward();
  for (std::size_t i = 0; i < bench.alpha.size(); ++i) {
    const double a = bench.alpha[i];
    EXPECT_NEAR(bench.weights[i], 0.5 * (1.0 + std::tanh(0.5 * a)), 1e-7) << a;
  }
}

// In the zero-one loss of FairDARTS: at alpha = 1 its term is -(sigmoid(1) - 1/2)^2 = -0.0533881.
TEST(Sigmoid, OfOneIsKnown) {
  Bench bench("sigmoid", 1, 1);
  bench.alpha = {1.0F};
  bench.forward();
  EXPECT_NEAR(std::pow(bench.weights[0] - 0.5, 2), 0.0533881, 5e-8);
}

TEST(Sigmoid, GradientMatchesDifferences) {
  Bench bench("sigmoid", 5, 7);
  fill_normal(bench.alpha, 2, 2.0);
  fill_normal(bench.dweights, 3, 1.0);
  bench.forward();
  bench.backward();
  for (std::size_t i = 0; i < bench.alpha.size(); ++i) {
    const auto weighted = [&](const std::vector<double>& a) { return bench.dweights[i] / (1.0 + std::exp(-a[0])); };
    EXPECT_NEAR(bench.dalpha[i], difference(weighted, {bench.alpha[i]}, 0), 1e-7);
  }
}

// sigmoid'(17) = exp(-17) to eight digits: 1 - sigmoid would have lost most of them in float.
TEST(Sigmoid, KeepsTheGradientOfASaturatedEntry) {
  Bench bench("sigmoid", 1, 3);
  bench.alpha = {17.0F, -17.0F, 100.0F};
  bench.dweights = {1.0F, 1.0F, 1.0F};
  bench.forward();
  bench.backward();
  EXPECT_NEAR(bench.dalpha[0], std::exp(-17.0), 1e-7 * std::exp(-17.0) + 1e-14);
  EXPECT_FLOAT_EQ(bench.dalpha[1], bench.dalpha[0]);
  EXPECT_EQ(bench.weights[2], 1.0F);
  EXPECT_LT(bench.dalpha[2], 1e-40F);
}

TEST(Sigmoid, StartsAtOneHalfExactly) {
  const Bench bench("sigmoid", 1, 1);
  EXPECT_EQ(bench.relaxation->start(7).mean, 0.0);
  EXPECT_EQ(bench.relaxation->start(7).deviation, 0.0);
}

}  // namespace
}  // namespace dnas::search
