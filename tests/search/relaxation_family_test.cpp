#include "search/relaxing.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <string>

// What all relaxations have in common.
namespace dnas::search {
namespace {

using namespace testing_relaxations;

constexpr std::size_t rows = 6;
constexpr std::size_t columns = 5;

std::vector<std::string> members() {
  std::vector<std::string> names = relaxations().names();
  names.emplace_back("gate(mode=two)");
  return names;
}

class EveryRelaxation : public ::testing::TestWithParam<std::string> {
 protected:
  /// Of spread logits, positive for those that are distributions. Edge 1 lacks the first and the last candidate, edge 2
  /// has one, edge 3 none.
  static Bench masked_bench() {
    Bench bench(GetParam(), rows, columns);
    fill_normal(bench.alpha, 11, 2.0);
    for (float& a : bench.alpha)
      a = std::abs(a) + 0.1F;
    fill_normal(bench.dweights, 12, 1.0);
    for (const std::size_t i : {5U, 9U, 10U, 11U, 13U, 14U, 15U, 16U, 17U, 18U, 19U})
      bench.alpha[i] = absent;
    bench.in.tau = 0.4;
    bench.draw(3);
    return bench;
  }
  static constexpr std::array<Phase, 4> phases{Phase::arch_step, Phase::weight_step, Phase::evaluation,
                                               Phase::expected};
};

TEST_P(EveryRelaxation, GivesAbsentCandidatesNothing) {
  Bench bench = masked_bench();
  for (const Phase phase : phases) {
    bench.in.phase = phase;
    bench.forward();
    bench.backward();
    const std::vector<std::uint8_t> runs = bench.support();
    for (std::size_t i = 0; i < bench.alpha.size(); ++i) {
      EXPECT_TRUE(std::isfinite(bench.weights[i])) << i;
      EXPECT_TRUE(std::isfinite(bench.dalpha[i])) << i;
      if (bench.alpha[i] != absent) continue;
      EXPECT_EQ(bench.weights[i], 0.0F) << i;
      EXPECT_EQ(bench.dalpha[i], 0.0F) << i;
      EXPECT_EQ(runs[i], 0) << i;
    }
  }
}

TEST_P(EveryRelaxation, UpdateLeavesAbsentCandidatesAndFiniteValues) {
  Bench bench = masked_bench();
  std::vector<float> stored = bench.alpha;
  for (std::size_t i = 0; i < stored.size(); ++i)
    stored[i] = stored[i] == absent ? 0.25F : stored[i] * 1.1F;
  const std::vector<float> after = bench.updated(stored);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    EXPECT_TRUE(std::isfinite(after[i]));
    if (bench.alpha[i] != absent) continue;
    EXPECT_EQ(after[i], 0.25F);
  }
}

TEST_P(EveryRelaxation, RunsNoMoreThanItSaysAndEverythingThatHasAWeight) {
  Bench bench = masked_bench();
  for (const Phase phase : phases) {
    bench.in.phase = phase;
    bench.forward();
    const std::vector<std::uint8_t> runs = bench.support();
    const Phase step = phase == Phase::evaluation ? Phase::weight_step : phase;
    const std::int64_t most = phase == Phase::expected ? 0 : bench.relaxation->runs_at_most(step);
    for (std::size_t first = 0; first < runs.size(); first += columns) {
      const auto present = std::count_if(bench.alpha.begin() + static_cast<std::ptrdiff_t>(first),
                                         bench.alpha.begin() + static_cast<std::ptrdiff_t>(first + columns),
                                         [](float a) { return a != absent; });
      const auto running = std::ranges::count(std::span(runs).subspan(first, columns), std::uint8_t{1});
      EXPECT_EQ(running, most == 0 ? present : std::min<std::int64_t>(present, most));
      for (std::size_t i = first; i < first + columns; ++i) {
        if (runs[i] != 0) continue;
        EXPECT_EQ(bench.weights[i], 0.0F);
      }
    }
  }
}

TEST_P(EveryRelaxation, DependsOnItsInputAlone) {
  Bench first = masked_bench();
  Bench second = masked_bench();
  for (const Phase phase : phases) {
    first.in.phase = second.in.phase = phase;
    first.forward();
    first.backward();
    second.forward();
    second.backward();
    EXPECT_EQ(first.weights, second.weights);
    EXPECT_EQ(first.dalpha, second.dalpha);
    EXPECT_EQ(first.support(), second.support());
  }
}

TEST_P(EveryRelaxation, DrawsNoNoiseToMeasureAndToMakeDiscrete) {
  Bench first = masked_bench();
  Bench second = masked_bench();
  second.draw(4);
  for (const Phase phase : {Phase::evaluation, Phase::expected}) {
    first.in.phase = second.in.phase = phase;
    first.forward();
    second.forward();
    EXPECT_EQ(first.weights, second.weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Relaxations, EveryRelaxation, ::testing::ValuesIn(members()), [](const auto& instance) {
  std::string name = instance.param;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_'; });
  return name;
});

class SampledRelaxation : public ::testing::TestWithParam<const char*> {};

TEST_P(SampledRelaxation, DrawsAnewForEachStepGroupAndEdge) {
  Bench bench(GetParam(), 40, columns);
  bench.draw(1);
  bench.forward();
  const std::vector<float> first = bench.weights;
  EXPECT_FALSE(std::equal(first.begin(), first.begin() + 20 * columns, first.begin() + 20 * columns)) << "other edges";
  bench.draw(2);
  bench.forward();
  EXPECT_NE(bench.weights, first) << "another step";
  bench.draw(1);
  bench.in.first_element = std::uint64_t{1} << 32;
  bench.forward();
  EXPECT_NE(bench.weights, first) << "another group";
}

INSTANTIATE_TEST_SUITE_P(Relaxations, SampledRelaxation,
                         ::testing::Values("gumbel_soft", "gumbel_hard", "gate", "dirichlet"));

}  // namespace
}  // namespace dnas::search
