#include "dnas/kernels/rng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace dnas {
namespace {

constexpr std::uint64_t draws = 1 << 16;

using Counter = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  constexpr std::uint32_t all = 0xffffffff;
  EXPECT_EQ(Philox::block(Counter{0, 0, 0, 0}, Key{0, 0}), (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox::block(Counter{all, all, all, all}, Key{all, all}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox::block(Counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, CounterIsElementStepAndStreamAndKeyIsTheSeed) {
  const Philox random(0x299f31d0a4093822, static_cast<Stream>(0x03707344), 0x13198a2e);
  EXPECT_EQ(random(0x85a308d3243f6a88), (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsUsableInConstantExpressions) {
  static_assert(Philox(1, Stream::dropout).uniform(0) < 1.0F);
  static_assert(Philox(1, Stream::dropout).below(0, 3) < 3);
  static_assert(Philox::to_unit(0) == 0.0F);
  static_assert(Philox::to_unit(0xffffffff) < 1.0F);
}

TEST(Philox, SeedStreamStepAndElementAllChangeTheDraw) {
  std::set<std::uint32_t> words;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
    for (const Stream stream : {Stream::weight_init, Stream::data_order, Stream::relaxation}) {
      for (const std::uint32_t step : {0U, 1U, 1U << 31}) {
        for (const std::uint64_t element : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
          words.insert(Philox(seed, stream, step)(element)[0]);
        }
      }
    }
  }
  EXPECT_EQ(words.size(), 81U);
}

TEST(Philox, UniformDrawsHaveTheRightMoments) {
  const Philox random(7, Stream::augmentation);
  double mean = 0.0;
  double square = 0.0;
  for (std::uint64_t i = 0; i < draws; ++i) {
    const double u = random.uniform(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    mean += u;
    square += u * u;
  }
  mean /= draws;
  square /= draws;
  // Five standard errors: 1/sqrt(12 n) of the mean, sqrt(4/45 / n) of the mean square.
  EXPECT_NEAR(mean, 0.5, 5.0 / std::sqrt(12.0 * draws));
  EXPECT_NEAR(square, 1.0 / 3.0, 5.0 * std::sqrt(4.0 / 45.0 / draws));
}

TEST(Philox, BelowIsEvenlySpread) {
  const Philox random(7, Stream::data_order);
  constexpr std::uint32_t bound = 10;
  std::array<double, bound> counts{};
  for (std::uint64_t i = 0; i < draws; ++i)
    counts.at(random.below(i, bound)) += 1.0;
  double chi_squared = 0.0;
  for (const double count : counts) {
    const double expected = static_cast<double>(draws) / bound;
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 27.88);  // 9 degrees of freedom, p = 0.001
  EXPECT_EQ(random.below(3, 1), 0U);
}

TEST(Philox, NormalDrawsHaveTheRightDistribution) {
  const Philox random(7, Stream::weight_init);
  std::vector<double> values;
  for (std::uint64_t i = 0; i < draws; ++i)
    values.push_back(random.normal(i));
  std::ranges::sort(values);
  // Kolmogorov-Smirnov distance to the normal distribution; 1.95 / sqrt(n) is exceeded with p = 0.001.
  double distance = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double cdf = 0.5 * std::erfc(-values[i] / std::sqrt(2.0));
    const double below = static_cast<double>(i) / draws;
    distance = std::max({distance, std::abs(cdf - below), std::abs(cdf - below - 1.0 / draws)});
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(static_cast<double>(draws)));
  EXPECT_TRUE(std::isfinite(values.front()) && std::isfinite(values.back()));
}

TEST(Philox, StreamsStepsAndNeighboursAreUncorrelated) {
  const auto correlation = [](const auto& a, const auto& b) {
    double sum = 0.0;
    for (std::uint64_t i = 0; i < draws; ++i)
      sum += (a(i) - 0.5) * (b(i) - 0.5);
    return 12.0 * sum / draws;
  };
  const auto uniform = [](Philox random, std::uint64_t offset) {
    return [random, offset](std::uint64_t i) { return static_cast<double>(random.uniform(i + offset)); };
  };
  const auto base = uniform(Philox(3, Stream::dropout), 0);
  const double five_errors = 5.0 / std::sqrt(static_cast<double>(draws));
  EXPECT_NEAR(correlation(base, uniform(Philox(3, Stream::relaxation), 0)), 0.0, five_errors);
  EXPECT_NEAR(correlation(base, uniform(Philox(3, Stream::dropout, 1), 0)), 0.0, five_errors);
  EXPECT_NEAR(correlation(base, uniform(Philox(4, Stream::dropout), 0)), 0.0, five_errors);
  EXPECT_NEAR(correlation(base, uniform(Philox(3, Stream::dropout), 1)), 0.0, five_errors);
}

TEST(Philox, EveryBitIsSetHalfOfTheTime) {
  const Philox random(11, Stream::perturbation);
  std::array<int, 128> set{};
  for (std::uint64_t i = 0; i < draws; ++i) {
    const auto words = random(i);
    for (std::size_t bit = 0; bit < set.size(); ++bit)
      set[bit] += static_cast<int>(words[bit / 32] >> (bit % 32) & 1U);
  }
  for (std::size_t bit = 0; bit < set.size(); ++bit) {
    EXPECT_NEAR(set[bit], draws / 2.0, 5.0 * std::sqrt(draws / 4.0)) << "bit " << bit;
  }
}

}  // namespace
}  // namespace dnas
