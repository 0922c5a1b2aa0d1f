#include "search/relaxing.hpp"

#include <algorithm>
#include <numeric>

namespace dnas::search {
namespace {

using namespace testing_relaxations;

double concentration(double alpha) {
  return alpha > 0.0 ? alpha + 1.0 : std::exp(alpha);
}

/// Running mean and variance.
struct Moments {
  double count = 0.0;
  double sum = 0.0;
  double squares = 0.0;
  void add(double x) {
    count += 1.0;
    sum += x;
    squares += x * x;
  }
  [[nodiscard]] double mean() const { return sum / count; }
  [[nodiscard]] double variance() const { return squares / count - mean() * mean(); }
  [[nodiscard]] double error() const { return std::sqrt(variance() / count); }  // of the mean
};

/// Samples of one row of alpha, many edges at a time.
class Sampler {
 public:
  explicit Sampler(const std::vector<double>& alpha)
      : columns(alpha.size()), bench("dirichlet", edges, static_cast<std::int64_t>(alpha.size())) {
    for (std::size_t i = 0; i < bench.alpha.size(); ++i)
      bench.alpha[i] = static_cast<float>(alpha[i % columns]);
  }

  static constexpr std::int64_t edges = 20000;
  std::size_t columns;
  Bench bench;
};

// alpha = 0 is concentration 1: the uniform distribution on the simplex of seven.
TEST(Dirichlet, MomentsOfTheUniformDistributionAreKnown) {
  Sampler sampler(std::vector<double>(7, 0.0));
  Bench& bench = sampler.bench;
  bench.draw(1);
  bench.forward();
  for (std::size_t k = 0; k < 7; ++k) {
    Moments w;
    for (std::size_t i = k; i < bench.weights.size(); i += 7)
      w.add(bench.weights[i]);
    EXPECT_NEAR(w.mean(), 1.0 / 7.0, 4.0 * std::sqrt(0.0153061 / Sampler::edges));
    EXPECT_NEAR(w.variance(), 0.0153061, 7e-4);
  }
}

// Mean c_i / C, variance c_i (C - c_i) / (C^2 (C + 1)), covariance -c_i c_j / (C^2 (C + 1)).
TEST(Dirichlet, MomentsFollowFromTheConcentrations) {
  const std::vector<double> alpha{-2.0, 0.5, 3.0, -0.3};
  Sampler sampler(alpha);
  Bench& bench = sampler.bench;
  bench.draw(2);
  bench.forward();
  double total = 0.0;
  for (const double a : alpha)
    total += concentration(a);
  for (std::size_t k = 0; k < 4; ++k) {
    Moments w;
    Moments product;
    for (std::size_t i = 0; i < bench.weights.size(); i += 4) {
      w.add(bench.weights[i + k]);
      product.add(bench.weights[i + k] * bench.weights[i + (k + 1) % 4]);
    }
    const double c = concentration(alpha[k]);
    const double next = concentration(alpha[(k + 1) % 4]);
    EXPECT_NEAR(w.mean(), c / total, 4.0 * w.error());
    EXPECT_NEAR(w.variance() / (c * (total - c) / (total * total * (total + 1.0))), 1.0, 0.05);
    EXPECT_NEAR(product.mean(), c * next / (total * (total + 1.0)), 4.0 * product.error());
  }
}

// d/d alpha of E[sum_i a_i w_i + b_i w_i^2], by the moments above, against the mean of the gradients of the samples.
TEST(Dirichlet, MeanGradientIsTheGradientOfTheMean) {
  const std::vector<double> alpha{-1.5, 0.4, 1.2, -0.2, 0.0};
  const std::vector<double> a{1.0, -0.5, 0.3, 2.0, -1.0};
  const std::vector<double> b{-2.0, 1.0, 0.5, -0.7, 1.5};
  Sampler sampler(alpha);
  Bench& bench = sampler.bench;
  bench.draw(3);
  bench.forward();
  for (std::size_t i = 0; i < bench.weights.size(); ++i)
    bench.dweights[i] = static_cast<float>(a[i % 5] + 2.0 * b[i % 5] * bench.weights[i]);
  bench.backward();
  const auto expectation = [&](const std::vector<double>& at) {
    double total = 0.0;
    for (const double x : at)
      total += concentration(x);
    double sum = 0.0;
    for (std::size_t k = 0; k < 5; ++k) {
      const double c = concentration(at[k]);
      sum += a[k] * c / total + b[k] * c * (c + 1.0) / (total * (total + 1.0));
    }
    return sum;
  };
  double largest = 0.0;  // in standard errors: the test must be able to tell
  for (std::size_t k = 0; k < 5; ++k) {
    Moments gradient;
    for (std::size_t i = k; i < bench.dalpha.size(); i += 5)
      gradient.add(bench.dalpha[i]);
    const double expected = difference(expectation, alpha, k);
    EXPECT_NEAR(gradient.mean(), expected, 4.0 * gradient.error()) << k;
    largest = std::max(largest, std::abs(expected) / gradient.error());
  }
  EXPECT_GT(largest, 50.0);
}

// The sample is a differentiable function of alpha while the noise stays: differences of the weights, in float.
TEST(Dirichlet, GradientMatchesDifferencesAtTheSameNoise) {
  constexpr std::size_t columns = 6;
  Bench bench("dirichlet", 5, columns);
  fill_normal(bench.alpha, 4, 1.0);
  fill_normal(bench.dweights, 5, 1.0);
  bench.draw(4);
  bench.forward();
  bench.backward();
  const std::vector<float> alpha = bench.alpha;
  constexpr float step = 0x1p-7F;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    if (std::abs(alpha[i]) < 2.0F * step) continue;  // elu has a kink of the second derivative
    const auto value = [&](float by) {
      bench.alpha = alpha;
      bench.alpha[i] += by;
      bench.forward();
      double sum = 0.0;
      for (std::size_t k = 0; k < alpha.size(); ++k)
        sum += static_cast<double>(bench.weights[k]) * bench.dweights[k];
      return sum;
    };
    EXPECT_NEAR(bench.dalpha[i], (value(step) - value(-step)) / (2.0 * static_cast<double>(step)), 2e-4);
  }
}

TEST(Dirichlet, TinyConcentrationsStillGiveDistributions) {
  constexpr std::size_t columns = 8;
  for (const float alpha : {-6.0F, -30.0F, -80.0F, -500.0F, 200.0F}) {
    Bench bench("dirichlet", 50, columns);
    std::ranges::fill(bench.alpha, alpha);
    fill_normal(bench.dweights, 6, 1.0);
    bench.forward();
    bench.backward();
    for (std::size_t first = 0; first < bench.weights.size(); first += columns) {
      double sum = 0.0;
      for (std::size_t i = first; i < first + columns; ++i) {
        sum += bench.weights[i];
        EXPECT_GE(bench.weights[i], std::numeric_limits<float>::min()) << alpha;
        EXPECT_TRUE(std::isfinite(bench.dalpha[i])) << alpha;
      }
      EXPECT_NEAR(sum, 1.0, 1e-6);
    }
  }
}

// With concentrations near 0 a sample is a corner of the simplex, each as often.
TEST(Dirichlet, TinyConcentrationsPickEachCandidateEquallyOften) {
  Sampler sampler(std::vector<double>(5, -12.0));
  sampler.bench.forward();
  std::vector<double> counts(5, 0.0);
  for (std::size_t first = 0; first < sampler.bench.weights.size(); first += 5) {
    const auto row = std::span(sampler.bench.weights).subspan(first, 5);
    counts[static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())] += 1.0;
  }
  EXPECT_LT(chi_square(counts, std::vector<double>(5, 0.2)), chi_square_limit(4));
}

TEST(Dirichlet, IsMadeDiscreteFromTheSoftmaxAndMeasuredAtTheMean) {
  const std::vector<double> alpha{-1.0, 0.5, 2.0};
  Bench bench("dirichlet", 1, 4);
  bench.alpha = {-1.0F, 0.5F, 2.0F, absent};
  bench.dweights = {1.0F, -2.0F, 0.5F, 3.0F};
  for (const Phase phase : {Phase::expected, Phase::evaluation}) {
    bench.in.phase = phase;
    bench.forward();
    bench.backward();
    const auto weights = [&](const std::vector<double>& at) {
      if (phase == Phase::expected) return softmax(at);
      std::vector<double> c;
      std::ranges::transform(at, std::back_inserter(c), concentration);
      const double total = std::accumulate(c.begin(), c.end(), 0.0);
      std::ranges::for_each(c, [&](double& x) { x /= total; });
      return c;
    };
    const auto weighted = [&](const std::vector<double>& at) {
      const std::vector<double> w = weights(at);
      return w[0] - 2.0 * w[1] + 0.5 * w[2];
    };
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(bench.weights[k], weights(alpha)[k], 1e-7);
      EXPECT_NEAR(bench.dalpha[k], difference(weighted, alpha, k), 1e-7);
    }
    EXPECT_EQ(bench.weights[3], 0.0F);
    EXPECT_EQ(bench.dalpha[3], 0.0F);
  }
}

}  // namespace
}  // namespace dnas::search
