#include "search/relaxing.hpp"

#include <algorithm>

namespace dnas::search {
namespace {

using namespace testing_relaxations;

constexpr std::size_t rows = 14;
constexpr std::size_t columns = 8;

std::vector<double> logits(const Bench& bench, std::size_t first) {
  std::vector<double> x;
  for (std::size_t k = first; k < first + columns; ++k)
    x.push_back(bench.alpha[k] + bench.gumbel(k));
  return x;
}

std::size_t largest(std::span<const double> row) {
  return static_cast<std::size_t>(std::ranges::max_element(row) - row.begin());
}

TEST(GumbelHard, RunsTheLargestNoisyLogitOfEachEdgeWithWeightOne) {
  Bench bench("gumbel_hard", rows, columns);
  fill_normal(bench.alpha, 1, 1.0);
  for (const Phase phase : {Phase::arch_step, Phase::weight_step}) {
    bench.in.phase = phase;
    bench.draw(phase == Phase::arch_step ? 4 : 5);
    bench.forward();
    const std::vector<std::uint8_t> runs = bench.support();
    for (std::size_t i = 0; i < bench.alpha.size(); ++i) {
      const bool chosen = i % columns == largest(logits(bench, i - i % columns));
      EXPECT_EQ(bench.weights[i], chosen ? 1.0F : 0.0F);
      EXPECT_EQ(runs[i], chosen ? 1 : 0);
    }
    EXPECT_EQ(bench.relaxation->runs_at_most(phase), 1);
  }
}

void expect_frequencies(const std::vector<double>& alpha) {
  Bench bench("gumbel_hard", rows, columns);
  for (std::size_t i = 0; i < bench.alpha.size(); ++i)
    bench.alpha[i] = static_cast<float>(alpha[i % columns]);
  std::vector<double> counts(columns, 0.0);
  for (std::uint32_t number = 0; number < 2000; ++number) {
    bench.draw(number);
    bench.forward();
    for (std::size_t i = 0; i < bench.alpha.size(); ++i)
      counts[i % columns] += bench.weights[i];
  }
  EXPECT_LT(chi_square(counts, softmax(alpha)), chi_square_limit(columns - 1));
}

TEST(GumbelHard, SamplesEqualLogitsEquallyOften) {
  expect_frequencies(std::vector<double>(columns, 0.0));
}

TEST(GumbelHard, SamplesTheSoftmaxOfAlpha) {
  expect_frequencies({0.5, -1.0, 0.0, 2.0, 1.0, -0.3, 0.8, -2.0});
}

// The supernet gives the chosen candidate a gradient and the others none; a loss term may give all of them one.
TEST(GumbelHard, GradientIsThatOfTheSoftSample) {
  for (const bool chosen_only : {true, false}) {
    Bench bench("gumbel_hard", rows, columns);
    fill_normal(bench.alpha, 2, 1.0);
    fill_normal(bench.dweights, 3, 1.0);
    bench.draw(6);
    bench.in.tau = 2.5;
    bench.forward();
    for (std::size_t i = 0; chosen_only && i < bench.alpha.size(); ++i)
      bench.dweights[i] *= bench.weights[i];
    bench.backward();
    for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
      const std::vector<double> noisy = logits(bench, first);
      const auto weighted = [&](const std::vector<double>& shift) {
        // The logarithm of the softmax, as in the paper.
        double total = 0.0;
        for (std::size_t k = 0; k < columns; ++k)
          total += std::exp(bench.alpha[first + k] + shift[k]);
        std::vector<double> x;
        for (std::size_t k = 0; k < columns; ++k)
          x.push_back((noisy[k] + shift[k] - std::log(total)) / bench.in.tau);
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

TEST(GumbelHard, IsMeasuredAtTheLikeliestCandidateAndMadeDiscreteFromTheSoftmax) {
  Bench bench("gumbel_hard", 2, 4);
  bench.alpha = {0.1F, 0.7F, 0.7F, 0.0F, -1.0F, -2.0F, absent, -3.0F};
  bench.in.phase = Phase::evaluation;
  bench.forward();
  EXPECT_EQ(bench.weights, (std::vector<float>{0, 1, 0, 0, 1, 0, 0, 0})) << "the first of equal ones";
  EXPECT_EQ(bench.support(), (std::vector<std::uint8_t>{0, 1, 0, 0, 1, 0, 0, 0}));
  bench.in.phase = Phase::expected;
  bench.forward();
  const double total = std::exp(-1.0) + std::exp(-2.0) + std::exp(-3.0);
  EXPECT_NEAR(bench.weights[4], std::exp(-1.0) / total, 1e-6);
  EXPECT_EQ(bench.weights[6], 0.0F);
}

}  // namespace
}  // namespace dnas::search
