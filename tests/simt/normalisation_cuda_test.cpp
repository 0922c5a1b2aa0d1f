#include "ops/normalisation_cuda.hpp"

#include "reference/batch_norm_ref.hpp"
#include "reference/normalisation_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using simt::DeviceScratch;
using simt::DeviceTensor;
using simt::Layout;
using simt::max_relative_error;

struct Case {
  const char* name;
  Shape shape;
  Layout layout;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case cases[] = {
    {"Dense", {3, 9, 11, 16}, {}},
    {"Slice", {3, 9, 11, 16}, {DType::f32, 4, 8}},
    {"Misaligned", {2, 7, 5, 12}, {DType::f32, 0, 0, 1}},
    {"OddChannels", {3, 11, 13, 5}, {DType::f32, 1, 2}},
    {"TwoTilesOfChannels", {2, 7, 7, 72}, {}},
    {"ManyOddChannels", {2, 5, 7, 131}, {}},
    {"OneElement", {1, 1, 1, 1}, {}},
    {"OneChannel", {2, 31, 33, 1}, {}},
    {"HalfDense", {3, 9, 11, 16}, {DType::bf16}},
    {"HalfSlice", {2, 9, 11, 20}, {DType::bf16, 4, 4}},
    {"HalfMisaligned", {2, 9, 11, 8}, {DType::bf16, 0, 0, 1}},
    {"HalfOddChannels", {3, 11, 13, 7}, {DType::bf16}},
};

/// Channels have different means and deviations.
DeviceTensor images(const Shape& shape, const Layout& layout) {
  DeviceTensor x = DeviceTensor::random(shape, 1, layout);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const auto c = static_cast<double>(i % shape[-1] % 64);
    x.set(i, x[i] * (0.1 + 0.3 * c) + 2.0 * c - 3.0);
  }
  return x;
}

std::size_t counters_of(const Shape& shape) {
  return static_cast<std::size_t>((shape[-1] + 63) / 64);
}

class NormalisationCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  [[nodiscard]] static const Case& problem() { return std::get<0>(GetParam()); }
};

/// What batch_statistics writes for three batch norms, the second of which keeps no running statistics.
struct Statistics {
  explicit Statistics(const DeviceTensor& x)
      : normalisation(Shape{2, x.channels()}),
        mean(DeviceTensor::filled(Shape{x.channels()}, 0.5)),
        var(DeviceTensor::filled(Shape{x.channels()}, 2.0)),
        other_mean(DeviceTensor::filled(Shape{x.channels()}, -3.0)),
        other_var(DeviceTensor::filled(Shape{x.channels()}, 0.0)) {
    DeviceScratch scratch(cuda::batch_statistics_workspace(x.shape()), counters_of(x.shape()));
    const std::vector<RunningStatistics> running{{mean.view(), var.view()}, {}, {other_mean.view(), other_var.view()}};
    cuda::batch_statistics(bn, x.view(), running, normalisation.view(), scratch.span(), nullptr);
    EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
  }

  BatchNorm bn;
  DeviceTensor normalisation, mean, var, other_mean, other_var;
};

TEST_P(NormalisationCuda, StatisticsMatchTwoPassesInDouble) {
  const DeviceTensor x = images(problem().shape, problem().layout);
  const Statistics s(x);
  const std::int64_t channels = x.channels();
  const auto expected = reference::batch_statistics(x.doubles(), static_cast<std::size_t>(channels));
  const auto pixels = static_cast<double>(x.pixels());
  // f32 sums over at most 128 pixels of a thread and 8 halvings, of values that differ from the shift by a few std.
  constexpr double tolerance = 2e-6;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double mean = expected.mean[static_cast<std::size_t>(c)];
    const double variance = expected.variance[static_cast<std::size_t>(c)];
    const double unbiased = pixels > 1.0 ? variance * pixels / (pixels - 1.0) : variance;
    const double rstd = 1.0 / std::sqrt(variance + 1e-5);
    EXPECT_NEAR(s.normalisation[c], mean, 1e-7 * std::abs(mean) + 5e-7 / rstd) << "channel " << c;
    EXPECT_NEAR(s.normalisation[channels + c], rstd, tolerance * rstd) << "channel " << c;
    EXPECT_NEAR(s.mean[c], 0.45 + 0.1 * mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(s.var[c], 1.8 + 0.1 * unbiased, tolerance * (1.0 + unbiased));
    EXPECT_NEAR(s.other_mean[c], -2.7 + 0.1 * mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(s.other_var[c], 0.1 * unbiased, tolerance * 0.1 * unbiased);
  }
  EXPECT_TRUE(s.normalisation.untouched() && s.mean.untouched() && s.var.untouched());
}

/// Three gradients of one normalised tensor.
struct Gradients {
  explicit Gradients(const Case& c) : x(images(c.shape, c.layout)) {
    const auto channels = static_cast<std::size_t>(x.channels());
    const auto batch = reference::batch_statistics(x.doubles(), channels);
    reference::Normalisation normalisation{batch.mean, {}};
    for (std::size_t i = 0; i < channels; ++i) {
      normalisation.mean[i] = static_cast<double>(static_cast<float>(batch.mean[i]));
      normalisation.rstd.push_back(1.0 / std::sqrt(batch.variance[i] + 1e-5));
    }
    for (std::uint64_t e = 0; e < 3; ++e) {
      g.push_back(DeviceTensor::random(c.shape, 10 + e, c.layout));
      rows.emplace_back(Shape{4, x.channels()});
      auto of = reference::normalisation_gradient(x.doubles(), normalisation, 0.3 + static_cast<double>(e),
                                                  g.back().doubles());
      const auto row = [&](NormalisationGradientRow which, std::vector<double>& values) {
        for (std::size_t i = 0; i < channels; ++i) {
          const auto at = static_cast<std::int64_t>(which * channels + i);
          rows.back().set(at, values[i]);
          values[i] = rows.back()[at];  // as f32
        }
      };
      row(scale_row, of.scale);
      row(slope_row, of.slope);
      row(centre_row, of.mean);
      row(offset_row, of.offset);
      expected_rows.push_back(of);
    }
  }

  [[nodiscard]] std::vector<double> expected(std::vector<double> dx) const {
    for (std::size_t e = 0; e < g.size(); ++e)
      reference::add_data_gradient(x.doubles(), g[e].doubles(), expected_rows[e], dx);
    return dx;
  }
  void run(const DeviceTensor& dx, Write write) const {
    std::vector<TensorView> g_views;
    std::vector<TensorView> row_views;
    for (std::size_t e = 0; e < g.size(); ++e) {
      g_views.push_back(g[e].view());
      row_views.push_back(rows[e].view());
    }
    cuda::normalisation_backward(x.view(), g_views, row_views, dx.view(), write, nullptr);
  }

  DeviceTensor x;
  std::vector<DeviceTensor> g, rows;
  std::vector<reference::NormalisationGradient> expected_rows;
};

// A dozen roundings of f32 per element; the largest value of a tensor has a few times its rms.
constexpr double backward_tolerance = 3e-6;

TEST_P(NormalisationCuda, BackwardMatchesLoops) {
  const Gradients p(problem());
  const DeviceTensor dx(problem().shape, problem().layout);
  p.run(dx, Write::overwrite);
  const auto expected = p.expected(std::vector<double>(static_cast<std::size_t>(dx.size()), 0.0));
  if (dx.pixels() > 1) {  // one pixel: all terms cancel
    EXPECT_LE(max_relative_error(dx, expected), backward_tolerance);
  }
  EXPECT_TRUE(dx.untouched());
}

TEST_P(NormalisationCuda, BackwardAccumulatesAndMayReplaceItsInputs) {
  if (problem().shape.elements() == 1) return;  // nothing is left of terms hundreds of times as large
  {
    const Gradients p(problem());
    const DeviceTensor dx = DeviceTensor::filled(problem().shape, 1.0, problem().layout);
    const auto expected = p.expected(dx.doubles());
    p.run(dx, Write::accumulate);
    EXPECT_LE(max_relative_error(dx, expected), backward_tolerance);
    EXPECT_TRUE(dx.untouched());
  }
  {
    const Gradients p(problem());
    const auto expected = p.expected(std::vector<double>(static_cast<std::size_t>(p.x.size()), 0.0));
    p.run(p.g[1], Write::overwrite);
    EXPECT_LE(max_relative_error(p.g[1], expected), backward_tolerance);
  }
  {
    const Gradients p(problem());
    const auto expected = p.expected(p.x.doubles());
    p.run(p.x, Write::accumulate);
    EXPECT_LE(max_relative_error(p.x, expected), backward_tolerance);
  }
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormalisationCuda,
                         testing::Combine(testing::ValuesIn(cases),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, NormalisationCuda,
                         testing::Combine(testing::Values(Case{"Tiny", {1, 24, 22, 64}, {}}),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);

TEST(NormalisationCudaStatistics, VarianceSurvivesALargeMean) {
  simt::set_schedule(simt::Schedule::shuffled);
  DeviceTensor x = DeviceTensor::random({4, 15, 15, 4}, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.set(i, x[i] + 3000.0);  // 5000 std; squares of these hold no digit of the variance in f32
  const Statistics s(x);
  const auto expected = reference::batch_statistics(x.doubles(), 4);
  for (std::int64_t c = 0; c < 4; ++c) {
    const double rstd = 1.0 / std::sqrt(expected.variance[static_cast<std::size_t>(c)] + 1e-5);
    EXPECT_NEAR(s.normalisation[4 + c], rstd, 1e-6 * rstd);
    EXPECT_EQ(static_cast<float>(s.normalisation[c]), static_cast<float>(expected.mean[static_cast<std::size_t>(c)]));
  }
}

TEST(NormalisationCudaStatistics, OfAConstantAreExactAndNaNStays) {
  simt::set_schedule(simt::Schedule::shuffled);
  DeviceTensor x = DeviceTensor::filled({1, 20, 20, 4}, 0.1);
  x.set(4 * 123 + 2, std::numeric_limits<double>::quiet_NaN());
  const Statistics s(x);
  for (const std::int64_t c : {0, 1, 3}) {
    EXPECT_EQ(s.normalisation[c], static_cast<double>(0.1F));
    EXPECT_NEAR(s.normalisation[4 + c], 1.0 / std::sqrt(1e-5), 1e-4);
  }
  EXPECT_TRUE(std::isnan(s.normalisation[2]));
  EXPECT_TRUE(std::isnan(s.normalisation[6]));
}

TEST(NormalisationCudaStatistics, AreTheSameUnderAllSchedules) {
  for (const Case& c : cases) {
    std::vector<Statistics> results;
    for (const simt::Schedule schedule : simt::all_schedules) {
      simt::set_schedule(schedule);
      results.emplace_back(images(c.shape, c.layout));
      EXPECT_TRUE(results.back().normalisation.same_bits(results.front().normalisation)) << c;
      EXPECT_TRUE(results.back().var.same_bits(results.front().var)) << c;
    }
  }
}

TEST(NormalisationCudaStatistics, MoveAnyNumberOfRunningStatistics) {
  simt::set_schedule(simt::Schedule::ascending);
  const DeviceTensor x = images({1, 5, 5, 3}, {});
  const auto expected = reference::batch_statistics(x.doubles(), 3);
  std::vector<DeviceTensor> means;
  std::vector<DeviceTensor> vars;
  std::vector<RunningStatistics> running;
  for (int i = 0; i < 37; ++i) {
    means.push_back(DeviceTensor::filled(Shape{3}, i));
    vars.push_back(DeviceTensor::filled(Shape{3}, 0.0));
    running.push_back({means.back().view(), vars.back().view()});
  }
  const DeviceTensor normalisation(Shape{2, 3});
  DeviceScratch scratch(cuda::batch_statistics_workspace(x.shape()), 1);
  cuda::batch_statistics({}, x.view(), running, normalisation.view(), scratch.span(), nullptr);
  for (int i = 0; i < 37; ++i) {
    for (std::int64_t c = 0; c < 3; ++c) {
      const auto at = static_cast<std::size_t>(i);
      EXPECT_NEAR(means[at][c], 0.9 * i + 0.1 * expected.mean[static_cast<std::size_t>(c)], 1e-5);
      EXPECT_NEAR(vars[at][c], 0.1 * expected.variance[static_cast<std::size_t>(c)] * 25.0 / 24.0, 1e-5);
    }
  }
}

}  // namespace
}  // namespace dnas::kernels
