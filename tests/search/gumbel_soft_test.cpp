#include "dnas/kernels/error.hpp"
#include "search/relaxing.hpp"
#include "support/throws.hpp"

#include <algorithm>

namespace dnas::search {
namespace {

using namespace testing_relaxations;
using test::message_of;
using ::testing::HasSubstr;

constexpr std::size_t rows = 14;
constexpr std::size_t columns = 8;

/// (alpha + g) / tau of a row, in double.
std::vector<double> logits(const Bench& bench, std::size_t first) {
  std::vector<double> x;
  for (std::size_t k = first; k < first + columns; ++k)
    x.push_back((bench.alpha[k] + bench.gumbel(k)) / bench.in.tau);
  return x;
}

TEST(GumbelSoft, IsTheSoftmaxOfNoisyLogits) {
  Bench bench("gumbel_soft", rows, columns);
  fill_normal(bench.alpha, 1, 1.0);
  bench.in.first_element = std::uint64_t{3} << 32;
  bench.draw(5);
  for (const double tau : {10.0, 1.0, 0.1}) {
    bench.in.tau = tau;
    bench.forward();
    for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
      const std::vector<double> y = softmax(logits(bench, first));
      for (std::size_t k = 0; k < columns; ++k)
        EXPECT_NEAR(bench.weights[first + k], y[k], 1e-7) << "tau " << tau;
    }
  }
}

TEST(GumbelSoft, GradientMatchesDifferencesAtTheSameNoise) {
  Bench bench("gumbel_soft", rows, columns);
  fill_normal(bench.alpha, 2, 1.0);
  fill_normal(bench.dweights, 3, 1.0);
  bench.draw(9);
  for (const double tau : {5.0, 0.7}) {
    bench.in.tau = tau;
    bench.forward();
    bench.backward();
    for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
      const auto weighted = [&](const std::vector<double>& shift) {
        std::vector<double> x = logits(bench, first);
        for (std::size_t k = 0; k < columns; ++k)
          x[k] += shift[k] / tau;
        const std::vector<double> y = softmax(x);
        double sum = 0.0;
        for (std::size_t k = 0; k < columns; ++k)
          sum += y[k] * bench.dweights[first + k];
        return sum;
      };
      for (std::size_t k = 0; k < columns; ++k)
        EXPECT_NEAR(bench.dalpha[first + k], difference(weighted, std::vector<double>(columns, 0.0), k), 1e-7);
    }
  }
}

TEST(GumbelSoft, IsUniformWhenHotAndOneHotWhenCold) {
  Bench bench("gumbel_soft", rows, columns);
  bench.draw(1);
  bench.in.tau = 1e8;
  bench.forward();
  for (const float weight : bench.weights)
    EXPECT_NEAR(weight, 1.0 / columns, 1e-7);
  bench.in.tau = 1e-6;
  bench.forward();
  for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
    const std::vector<double> x = logits(bench, first);
    const auto best = static_cast<std::size_t>(std::ranges::max_element(x) - x.begin());
    for (std::size_t k = 0; k < columns; ++k)
      EXPECT_EQ(bench.weights[first + k], k == best ? 1.0F : 0.0F);
  }
}

TEST(GumbelSoft, SurvivesLargeLogitsAtTheEndOfTheSchedule) {
  Bench bench("gumbel_soft", rows, columns);
  fill_normal(bench.alpha, 4, 1000.0);
  fill_normal(bench.dweights, 5, 1.0);
  bench.in.tau = 0.03;
  bench.forward();
  bench.backward();
  for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
    double sum = 0.0;
    for (std::size_t k = 0; k < columns; ++k) {
      sum += bench.weights[first + k];
      EXPECT_TRUE(std::isfinite(bench.dalpha[first + k]));
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
}

// At any temperature the largest weight is a sample of softmax(alpha).
TEST(GumbelSoft, LargestWeightIsASampleOfTheSoftmax) {
  Bench bench("gumbel_soft", rows, columns);
  const std::vector<double> alpha{0.5, -1.0, 0.0, 2.0, 1.0, -0.3, 0.8, -2.0};
  for (std::size_t i = 0; i < bench.alpha.size(); ++i)
    bench.alpha[i] = static_cast<float>(alpha[i % columns]);
  bench.in.tau = 0.7;
  std::vector<double> counts(columns, 0.0);
  for (std::uint32_t number = 0; number < 2000; ++number) {
    bench.draw(number);
    bench.forward();
    for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
      const auto row = std::span(bench.weights).subspan(first, columns);
      counts[static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())] += 1.0;
    }
  }
  EXPECT_LT(chi_square(counts, softmax(alpha)), chi_square_limit(columns - 1));
}

TEST(GumbelSoft, WithoutNoiseIsTheSoftmaxOfAlphaAtAnyTemperature) {
  Bench bench("gumbel_soft", rows, columns);
  fill_normal(bench.alpha, 6, 1.5);
  fill_normal(bench.dweights, 7, 1.0);
  bench.in.tau = 0.03;
  for (const Phase phase : {Phase::expected, Phase::evaluation}) {
    bench.in.phase = phase;
    bench.forward();
    bench.backward();
    for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
      const std::vector<double> p =
          softmax(std::vector<double>(bench.alpha.begin() + static_cast<std::ptrdiff_t>(first),
                                      bench.alpha.begin() + static_cast<std::ptrdiff_t>(first + columns)));
      double mean = 0.0;
      for (std::size_t k = 0; k < columns; ++k)
        mean += p[k] * bench.dweights[first + k];
      for (std::size_t k = 0; k < columns; ++k) {
        EXPECT_NEAR(bench.weights[first + k], p[k], 1e-6);
        EXPECT_NEAR(bench.dalpha[first + k], p[k] * (bench.dweights[first + k] - mean), 1e-6);
      }
    }
  }
}

TEST(GumbelSoft, StartsAsToldTo) {
  EXPECT_EQ(Bench("gumbel_soft", 1, 1).relaxation->start(8).mean, 1.0);
  EXPECT_EQ(Bench("gumbel_soft", 1, 1).relaxation->start(8).deviation, 0.01);
  EXPECT_EQ(Bench("gumbel_soft(init_mean=0, init_deviation=0.5)", 1, 1).relaxation->start(8).deviation, 0.5);
  EXPECT_THAT(message_of<ConfigError>([] { Bench("gumbel_soft(init_deviation=-1)", 1, 1); }),
              HasSubstr("init_deviation is -1"));
}

}  // namespace
}  // namespace dnas::search
