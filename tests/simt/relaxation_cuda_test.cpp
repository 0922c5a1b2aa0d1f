#include "ops/relaxation_cuda.hpp"

#include "reference/softmax_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

// What kernels read and write lies on the heap, which a GPU reaches too (tests/cuda).
namespace dnas::kernels {
namespace {

using cuda::RelaxationStep;
using simt::DeviceTensor;

// Computed in f64 and rounded to f32 once; small values are subnormal, or 0 on a device that flushes them.
double rounding(double value) {
  return 0x1.001p-24 * value + 0x1.0p-126;
}

/// Rows of a DARTS cell, of one candidate, of more candidates than lanes.
class RelaxationCuda : public testing::TestWithParam<std::tuple<Shape, simt::Schedule>> {
 protected:
  void SetUp() override {
    simt::set_schedule(std::get<1>(GetParam()));
    for (std::int64_t i = 0; i < alpha.size(); ++i)
      alpha.set(i, 4.0 * alpha[i]);
  }

  /// Numerical gradient of sum of g * f(alpha) by central differences in double.
  template <typename Function>
  [[nodiscard]] std::vector<double> gradient(Function&& f) const {
    std::vector<double> at = alpha.doubles();
    std::vector<double> result(at.size());
    const auto loss = [&] {
      const std::vector<double> weights = f(at);
      double sum = 0.0;
      for (std::size_t i = 0; i < weights.size(); ++i)
        sum += weights[i] * g[static_cast<std::int64_t>(i)];
      return sum;
    };
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double value = at[i];
      at[i] = value + 1e-5;
      const double above = loss();
      at[i] = value - 1e-5;
      result[i] = (above - loss()) / 2e-5;
      at[i] = value;
    }
    return result;
  }

  Shape shape = std::get<0>(GetParam());
  std::size_t entries = static_cast<std::size_t>(shape[1]);
  DeviceTensor alpha = DeviceTensor::random(shape, 1);
  DeviceTensor g = DeviceTensor::random(shape, 2);
  DeviceTensor w{shape}, dalpha{shape}, hard{shape};
  std::unique_ptr<RelaxationStep> step = std::make_unique<RelaxationStep>(RelaxationStep{0.7F, 5});
  cuda::RelaxationNoise noise{0x123456789ABCULL, Stream::relaxation, 1000};

  /// (alpha + Gumbel noise) / tau, from the words of the host.
  [[nodiscard]] std::vector<double> noisy(std::vector<double> values) const {
    const Philox draws(noise.seed, noise.stream, step->step);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double u = (static_cast<double>(draws(noise.first + i)[0] >> 8U) + 0.5) / 16777216.0;
      values[i] = (values[i] - std::log(-std::log(u))) / static_cast<double>(step->tau);
    }
    return values;
  }
};

// The error of differences of 1e-5, of values of order 1, plus cancellation between p and 1, plus f32.
constexpr double gradient_tolerance = 2e-6;

TEST_P(RelaxationCuda, SoftmaxMatchesLoopsAndItsGradientDifferences) {
  cuda::softmax_forward(alpha.view(), w.view(), nullptr);
  const auto expected = reference::softmax(alpha.doubles(), entries);
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(w[i], expected[static_cast<std::size_t>(i)], rounding(expected[static_cast<std::size_t>(i)]));
  cuda::softmax_backward(w.view(), g.view(), dalpha.view(), nullptr);
  const auto differences = gradient([&](const auto& a) { return reference::softmax(a, entries); });
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dalpha[i], differences[static_cast<std::size_t>(i)], gradient_tolerance);
  EXPECT_TRUE(w.untouched() && dalpha.untouched());
  // In place.
  cuda::softmax_forward(alpha.view(), alpha.view(), nullptr);
  EXPECT_TRUE(alpha.same_bits(w));
  cuda::softmax_backward(w.view(), g.view(), g.view(), nullptr);
  EXPECT_TRUE(g.same_bits(dalpha));
}

TEST_P(RelaxationCuda, SigmoidMatchesLoopsAndItsGradientDifferences) {
  const auto sigmoid = [](std::vector<double> values) {
    for (double& v : values)
      v = 1.0 / (1.0 + std::exp(-v));
    return values;
  };
  cuda::sigmoid_forward(alpha.view(), w.view(), nullptr);
  const auto expected = sigmoid(alpha.doubles());
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(w[i], expected[static_cast<std::size_t>(i)], rounding(expected[static_cast<std::size_t>(i)]));
  cuda::sigmoid_backward(w.view(), g.view(), dalpha.view(), nullptr);
  const auto differences = gradient(sigmoid);
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dalpha[i], differences[static_cast<std::size_t>(i)], gradient_tolerance);
  EXPECT_TRUE(w.untouched() && dalpha.untouched());
}

TEST_P(RelaxationCuda, GumbelSoftmaxMatchesLoopsWithTheWordsOfTheHost) {
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, w.view(), {}, nullptr);
  const auto expected = reference::softmax(noisy(alpha.doubles()), entries);
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(w[i], expected[static_cast<std::size_t>(i)], rounding(expected[static_cast<std::size_t>(i)]));
  cuda::gumbel_softmax_backward(w.view(), g.view(), step.get(), dalpha.view(), nullptr);
  const auto differences = gradient([&](const auto& a) { return reference::softmax(noisy(a), entries); });
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dalpha[i], differences[static_cast<std::size_t>(i)], gradient_tolerance);
  EXPECT_TRUE(w.untouched() && dalpha.untouched());
}

TEST_P(RelaxationCuda, HardSampleIsTheLargestOfTheSoftOne) {
  const DeviceTensor soft(shape);
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, soft.view(), {}, nullptr);
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, w.view(), hard.view(), nullptr);
  EXPECT_TRUE(w.same_bits(soft));
  const auto logits = noisy(alpha.doubles());
  for (std::size_t r = 0; r < static_cast<std::size_t>(shape[0]); ++r) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(r * entries);
    const auto best = std::max_element(row, row + static_cast<std::ptrdiff_t>(entries)) - row;
    for (std::size_t k = 0; k < entries; ++k)
      EXPECT_EQ(hard[static_cast<std::int64_t>(r * entries + k)], static_cast<std::ptrdiff_t>(k) == best ? 1.0 : 0.0);
  }
  EXPECT_TRUE(hard.untouched());
}

TEST_P(RelaxationCuda, StraightThroughGradientIsTheClosedForm) {
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, w.view(), hard.view(), nullptr);
  const auto p = reference::softmax(noisy(alpha.doubles()), entries);
  const auto tau = static_cast<double>(step->tau);
  // Of every candidate's weight; then, as in GDAS, of the sampled one's alone: p_k ([k = s] - p_s) g_s / tau.
  for (const bool sampled_only : {false, true}) {
    DeviceTensor dw(shape);
    for (std::int64_t i = 0; i < dw.size(); ++i)
      dw.set(i, sampled_only ? g[i] * hard[i] : g[i]);
    cuda::gumbel_softmax_backward(w.view(), dw.view(), step.get(), dalpha.view(), nullptr);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const std::size_t row = i / entries * entries;
      double dot = 0.0;
      double magnitude = 0.0;
      for (std::size_t j = row; j < row + entries; ++j) {
        const double term = dw[static_cast<std::int64_t>(j)] * p[j];
        dot += term;
        magnitude += std::abs(term);
      }
      const double of_i = dw[static_cast<std::int64_t>(i)];
      const double size = p[i] / tau * (std::abs(of_i) + magnitude);
      // Rounded to f32: p of the entry, p of the sum's terms, the result.
      EXPECT_NEAR(dalpha[static_cast<std::int64_t>(i)], p[i] * (of_i - dot) / tau, 3.0 * rounding(size)) << i;
    }
  }
  EXPECT_TRUE(dalpha.untouched());
}

TEST_P(RelaxationCuda, AnotherStepOrTemperatureIsReadFromMemory) {
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, w.view(), {}, nullptr);
  *step = {0.1F, 6};
  const DeviceTensor other(shape);
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), noise, other.view(), {}, nullptr);
  const auto expected = reference::softmax(noisy(alpha.doubles()), entries);
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(other[i], expected[static_cast<std::size_t>(i)], rounding(expected[static_cast<std::size_t>(i)]));
  EXPECT_TRUE(entries == 1 || !other.same_bits(w));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RelaxationCuda,
                         testing::Combine(testing::Values(Shape{14, 8}, Shape{1, 1}, Shape{5, 33}, Shape{3, 130},
                                                          Shape{9, 32}),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)));
// Two blocks, a lane with two entries.
INSTANTIATE_TEST_SUITE_P(Tiny, RelaxationCuda,
                         testing::Combine(testing::Values(Shape{5, 33}), testing::Values(simt::Schedule::shuffled)));

class RelaxationCudaRows : public testing::Test {
 protected:
  void SetUp() override { simt::set_schedule(simt::Schedule::shuffled); }
};

TEST_F(RelaxationCudaRows, OfHugeLogitsAreFinite) {
  DeviceTensor x = DeviceTensor::filled({2, 3}, -1000.0);
  x.set(1, 1000.0);
  x.set(3, 3e38);
  x.set(4, 3e38);
  const DeviceTensor p({2, 3});
  cuda::softmax_forward(x.view(), p.view(), nullptr);
  EXPECT_EQ(p.doubles(), (std::vector<double>{0.0, 1.0, 0.0, 0.5, 0.5, 0.0}));
}

TEST_F(RelaxationCudaRows, WithNaNAreNaNAllOver) {
  DeviceTensor alpha = DeviceTensor::filled({2, 40}, 1.0);
  alpha.set(37, std::numeric_limits<double>::quiet_NaN());
  const auto step = std::make_unique<RelaxationStep>();
  const DeviceTensor p({2, 40});
  const DeviceTensor hard({2, 40});
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), {}, p.view(), hard.view(), nullptr);
  for (std::int64_t k = 0; k < 40; ++k) {
    EXPECT_TRUE(std::isnan(p[k]) && std::isnan(hard[k]));
    EXPECT_FALSE(std::isnan(p[40 + k]) || std::isnan(hard[40 + k]));
  }
}

TEST_F(RelaxationCudaRows, HardSampleOfEqualsIsTheFirst) {
  // Of logits of 1e30, f64 holds no digit of the noise: they are equal. In one lane, in several, in all; in the last.
  constexpr std::int64_t entries = 70;
  const std::vector<std::vector<std::int64_t>> equals{{5, 37, 69}, {37, 69}, {31, 32}, {32, 33, 64}, {63, 3}, {69}, {}};
  const auto rows = static_cast<std::int64_t>(equals.size());
  DeviceTensor alpha = DeviceTensor::random({rows, entries}, 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (const std::int64_t k : equals[static_cast<std::size_t>(r)])
      alpha.set(r * entries + k, 1e30);
    for (std::int64_t k = 0; k < entries && equals[static_cast<std::size_t>(r)].empty(); ++k)
      alpha.set(r * entries + k, 1e30);
  }
  const auto step = std::make_unique<RelaxationStep>(RelaxationStep{0.5F, 3});
  for (const simt::Schedule schedule : simt::all_schedules) {
    simt::set_schedule(schedule);
    const DeviceTensor p({rows, entries});
    const DeviceTensor hard({rows, entries});
    cuda::gumbel_softmax_forward(alpha.view(), step.get(), {7}, p.view(), hard.view(), nullptr);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto& of = equals[static_cast<std::size_t>(r)];
      const std::int64_t first = of.empty() ? 0 : *std::min_element(of.begin(), of.end());
      const double share = 1.0 / static_cast<double>(of.empty() ? entries : static_cast<std::int64_t>(of.size()));
      for (std::int64_t k = 0; k < entries; ++k) {
        const bool largest = of.empty() || std::find(of.begin(), of.end(), k) != of.end();
        EXPECT_EQ(hard[r * entries + k], k == first ? 1.0 : 0.0) << "row " << r << ", entry " << k;
        EXPECT_NEAR(p[r * entries + k], largest ? share : 0.0, rounding(share)) << "row " << r << ", entry " << k;
      }
    }
  }
}

TEST_F(RelaxationCudaRows, HardSamplesFollowTheProbabilities) {
  // 3000 rows of logits log 1, log 2, log 5: the Gumbel trick draws them with probabilities 1/8, 2/8 and 5/8.
  constexpr std::int64_t rows = 3000;
  DeviceTensor alpha({rows, 3});
  for (std::int64_t i = 0; i < alpha.size(); ++i)
    alpha.set(i, std::log(i % 3 == 0 ? 1.0 : i % 3 == 1 ? 2.0 : 5.0));
  const auto step = std::make_unique<RelaxationStep>();
  const DeviceTensor p({rows, 3});
  const DeviceTensor hard({rows, 3});
  cuda::gumbel_softmax_forward(alpha.view(), step.get(), {}, p.view(), hard.view(), nullptr);
  double count[3] = {};
  for (std::int64_t i = 0; i < alpha.size(); ++i)
    count[i % 3] += hard[i];
  for (int k = 0; k < 3; ++k) {
    const double probability = k == 0 ? 0.125 : k == 1 ? 0.25 : 0.625;
    const double deviation = std::sqrt(probability * (1.0 - probability) / rows);
    EXPECT_NEAR(count[k] / rows, probability, 4.0 * deviation) << "entry " << k;
  }
}

}  // namespace
}  // namespace dnas::kernels
