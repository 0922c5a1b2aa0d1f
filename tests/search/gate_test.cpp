#include "dnas/kernels/error.hpp"
#include "dnas/search/space.hpp"
#include "search/relaxing.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace dnas::search {
namespace {

using namespace testing_relaxations;
using test::message_of;
using ::testing::HasSubstr;

constexpr std::size_t rows = 14;
constexpr std::size_t columns = 4;
const std::vector<double> uneven{0.5, -1.0, 0.0, 1.5};

Bench bench_with(std::string_view part, const std::vector<double>& alpha, std::size_t edges = rows) {
  Bench bench(part, static_cast<std::int64_t>(edges), static_cast<std::int64_t>(alpha.size()));
  for (std::size_t i = 0; i < bench.alpha.size(); ++i)
    bench.alpha[i] = static_cast<float>(alpha[i % alpha.size()]);
  return bench;
}

/// What an edge of a Bench runs: the active candidate, and the other of two.
struct Drawn {
  std::size_t active;
  std::size_t other;
};

std::vector<Drawn> drawn(Bench& bench) {
  bench.forward();
  const std::vector<std::uint8_t> runs = bench.support();
  std::vector<Drawn> result;
  for (std::size_t first = 0; first < runs.size(); first += columns) {
    Drawn edge{columns, columns};
    for (std::size_t k = 0; k < columns; ++k) {
      if (bench.weights[first + k] == 1.0F)
        edge.active = k;
      else if (runs[first + k] == 1)
        edge.other = k;
    }
    result.push_back(edge);
  }
  return result;
}

TEST(Gate, WeightStepRunsOneSampledCandidate) {
  for (const char* part : {"gate", "gate(mode=two)"}) {
    Bench bench = bench_with(part, uneven);
    bench.in.phase = Phase::weight_step;
    EXPECT_EQ(bench.relaxation->runs_at_most(Phase::weight_step), 1);
    std::vector<double> counts(columns, 0.0);
    for (std::uint32_t number = 0; number < 2000; ++number) {
      bench.draw(number);
      bench.forward();
      const std::vector<std::uint8_t> runs = bench.support();
      for (std::size_t i = 0; i < runs.size(); ++i) {
        ASSERT_EQ(bench.weights[i], static_cast<float>(runs[i]));
        counts[i % columns] += bench.weights[i];
      }
    }
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0.0), 2000.0 * rows);
    EXPECT_LT(chi_square(counts, softmax(uneven)), chi_square_limit(columns - 1)) << part;
  }
}

TEST(Gate, FullArchitectureStepRunsAllWithOneActive) {
  Bench bench = bench_with("gate(mode=full)", uneven);
  EXPECT_EQ(bench.relaxation->runs_at_most(Phase::arch_step), 0);
  bench.draw(3);
  bench.forward();
  for (std::size_t first = 0; first < bench.weights.size(); first += columns) {
    const auto row = std::span(bench.weights).subspan(first, columns);
    EXPECT_EQ(std::ranges::count(row, 1.0F), 1);
    EXPECT_EQ(std::ranges::count(row, 0.0F), 3);
  }
  EXPECT_EQ(bench.support(), std::vector<std::uint8_t>(rows * columns, 1));
}

TEST(Gate, FullGradientIsKnown) {
  Bench bench = bench_with("gate", {std::log(2.0), 0.0, 0.0}, 1);
  bench.dweights = {1.0F, 0.0F, 0.0F};
  bench.forward();
  bench.backward();
  EXPECT_NEAR(bench.dalpha[0], 0.25, 1e-7);
  EXPECT_NEAR(bench.dalpha[1], -0.125, 1e-7);
  EXPECT_NEAR(bench.dalpha[2], -0.125, 1e-7);
}

// Whichever candidate is active: the gradient is that of sum_j G_j softmax(alpha)_j.
TEST(Gate, FullGradientMatchesDifferences) {
  Bench bench("gate", rows, columns);
  fill_normal(bench.alpha, 1, 1.0);
  fill_normal(bench.dweights, 2, 1.0);
  bench.forward();
  bench.backward();
  for (std::size_t first = 0; first < bench.alpha.size(); first += columns) {
    const auto weighted = [&](const std::vector<double>& alpha) {
      const std::vector<double> p = softmax(alpha);
      double sum = 0.0;
      for (std::size_t k = 0; k < columns; ++k)
        sum += p[k] * bench.dweights[first + k];
      return sum;
    };
    const std::vector<double> alpha(bench.alpha.begin() + static_cast<std::ptrdiff_t>(first),
                                    bench.alpha.begin() + static_cast<std::ptrdiff_t>(first + columns));
    for (std::size_t k = 0; k < columns; ++k)
      EXPECT_NEAR(bench.dalpha[first + k], difference(weighted, alpha, k), 1e-7);
  }
}

// Two without replacement: {i, j} comes up with probability p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j), and i is then
// active with p_i / (p_i + p_j).
TEST(Gate, TwoAreSampledWithoutReplacementAndOneOfThemIsActive) {
  Bench bench = bench_with("gate(mode=two)", uneven);
  EXPECT_EQ(bench.relaxation->runs_at_most(Phase::arch_step), 2);
  std::map<std::pair<std::size_t, std::size_t>, double> counts;
  for (std::uint32_t number = 0; number < 4000; ++number) {
    bench.draw(number);
    for (const Drawn& edge : drawn(bench)) {
      ASSERT_LT(edge.active, columns);
      ASSERT_LT(edge.other, columns);
      counts[{edge.active, edge.other}] += 1.0;
    }
  }
  const std::vector<double> p = softmax(uneven);
  std::vector<double> observed;
  std::vector<double> probabilities;
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      if (i == j) continue;
      const double pair = p[i] * p[j] / (1.0 - p[i]) + p[j] * p[i] / (1.0 - p[j]);
      probabilities.push_back(pair * p[i] / (p[i] + p[j]));
      observed.push_back(counts[{i, j}]);
    }
  }
  EXPECT_NEAR(std::accumulate(probabilities.begin(), probabilities.end(), 0.0), 1.0, 1e-12);
  EXPECT_LT(chi_square(observed, probabilities), chi_square_limit(static_cast<double>(observed.size() - 1)));
}

TEST(Gate, GradientOfTwoIsThatOfTheirOwnSoftmax) {
  Bench bench("gate(mode=two)", rows, columns);
  fill_normal(bench.alpha, 3, 1.0);
  fill_normal(bench.dweights, 4, 1.0);
  bench.draw(8);
  const std::vector<Drawn> edges = drawn(bench);
  bench.backward();
  for (std::size_t e = 0; e < rows; ++e) {
    const auto at = [&](const std::vector<float>& values, std::size_t k) {
      return static_cast<double>(values[e * columns + k]);
    };
    const auto [i, j] = edges[e];
    // d/d alpha_i of G_i q_i + G_j q_j, where q_i = 1 / (1 + exp(alpha_j - alpha_i))
    const double q = 1.0 / (1.0 + std::exp(at(bench.alpha, j) - at(bench.alpha, i)));
    const double slope = q * (1.0 - q) * (at(bench.dweights, i) - at(bench.dweights, j));
    for (std::size_t k = 0; k < columns; ++k)
      EXPECT_NEAR(at(bench.dalpha, k), k == i ? slope : k == j ? -slope : 0.0, 1e-7);
  }
}

TEST(Gate, UpdateOfTwoLeavesTheOtherProbabilitiesAlone) {
  Bench bench("gate(mode=two)", rows, columns);
  fill_normal(bench.alpha, 5, 1.0);
  bench.draw(2);
  const std::vector<Drawn> edges = drawn(bench);
  std::vector<float> moved = bench.alpha;
  std::vector<float> steps(moved.size());
  fill_normal(steps, 6, 0.5);  // of all of them, as momentum would
  for (std::size_t i = 0; i < moved.size(); ++i)
    moved[i] += steps[i];
  const std::vector<float> after = bench.updated(moved);
  for (std::size_t e = 0; e < rows; ++e) {
    const std::size_t first = e * columns;
    const std::size_t i = first + edges[e].active;
    const std::size_t j = first + edges[e].other;
    const auto row = [&](const std::vector<float>& values) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
      return softmax(std::vector<double>(begin, begin + columns));
    };
    const auto sum = [&](const std::vector<float>& alpha) {
      return std::exp(double{alpha[i]}) + std::exp(double{alpha[j]});
    };
    EXPECT_NEAR(sum(after) / sum(bench.alpha), 1.0, 1e-6);
    EXPECT_NEAR(after[i] - after[j], moved[i] - moved[j], 1e-6) << "they were shifted alike";
    for (std::size_t k = 0; k < columns; ++k) {
      if (first + k == i || first + k == j) continue;
      EXPECT_EQ(after[first + k], bench.alpha[first + k]);
      EXPECT_NEAR(row(after)[k], row(bench.alpha)[k], 1e-7);
    }
  }
}

TEST(Gate, FullUpdateIsTheOptimizersAlone) {
  Bench bench = bench_with("gate", uneven);
  std::vector<float> moved = bench.alpha;
  fill_normal(moved, 7, 1.0);
  EXPECT_EQ(bench.updated(moved), moved);
}

ChoiceGroup layers_with_zero() {
  ChoiceGroup group;
  for (std::size_t e = 0; e < rows; ++e)
    group.edges.push_back({0, 2, {"mb3_3x3", "zero", "mb6_3x3", "mb6_5x5"}});
  return group;
}

TEST(Gate, EdgeWhoseActiveCandidateIsZeroDoesNotLearn) {
  const ChoiceGroup group = layers_with_zero();
  for (const char* part : {"gate", "gate(mode=two)"}) {
    Bench bench = bench_with(part, {0.3, 0.6, 0.0, 0.1});
    bench.in.choices = &group;
    fill_normal(bench.dweights, 8, 1.0);
    bench.draw(1);
    const std::vector<Drawn> edges = drawn(bench);
    bench.backward();
    std::vector<float> moved = bench.alpha;
    fill_normal(moved, 9, 1.0);
    const std::vector<float> after = bench.updated(moved);
    std::size_t idle = 0;
    for (std::size_t e = 0; e < rows; ++e) {
      const bool zero = edges[e].active == 1;
      idle += zero ? 1 : 0;
      bool learns = false;
      bool moves = false;
      for (std::size_t i = e * columns; i < (e + 1) * columns; ++i) {
        learns = learns || bench.dalpha[i] != 0.0F;
        moves = moves || after[i] != bench.alpha[i];
      }
      EXPECT_EQ(learns, !zero) << part;
      EXPECT_EQ(moves, !zero) << part;
    }
    EXPECT_GT(idle, 0U);
    EXPECT_LT(idle, rows);
  }
}

TEST(Gate, OneCandidateLeftIsActiveAndKeepsItsAlpha) {
  Bench bench("gate(mode=two)", 2, columns);
  bench.alpha = {absent, 0.4F, absent, absent, absent, absent, absent, absent};
  bench.dweights = std::vector<float>(2 * columns, 1.0F);
  bench.forward();
  bench.backward();
  EXPECT_EQ(bench.weights, (std::vector<float>{0, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(bench.support(), (std::vector<std::uint8_t>{0, 1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(bench.dalpha, std::vector<float>(2 * columns, 0.0F));
  const std::vector<float> stored{5.0F, 0.4F, 6.0F, 7.0F, 1.0F, 2.0F, 3.0F, 4.0F};  // of absent ones: anything
  EXPECT_EQ(bench.updated(stored), stored);
}

TEST(Gate, RefusesAnotherMode) {
  EXPECT_THAT(message_of<ConfigError>([] { Bench("gate(mode=three)", 1, 1); }),
              HasSubstr("gate: mode is 'three', expected full or two"));
}

}  // namespace
}  // namespace dnas::search
