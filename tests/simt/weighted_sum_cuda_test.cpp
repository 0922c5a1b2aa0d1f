#include "ops/weighted_sum_cuda.hpp"

#include "simt/device_array.hpp"
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

using simt::DeviceArray;

struct Case {
  const char* name;
  Shape shape;
  std::int64_t pixel_stride;
  std::size_t terms;
  std::size_t offset;  // floats behind a 16-byte boundary
};

const Case cases[] = {
    {"Dense", {2, 5, 7, 16}, 16, 3, 0},            // 16-byte loads, ragged last block
    {"Slice", {2, 5, 7, 16}, 40, 9, 0},            // channels of a wider tensor, two tiles of terms
    {"Misaligned", {1, 3, 3, 12}, 12, 8, 1},       // single floats
    {"OddChannels", {3, 11, 5, 5}, 7, 17, 0},      // single floats, threads of each block left over
    {"OneElement", {1, 1, 1, 1}, 1, 1, 0},         // nothing to divide among threads
    {"WideVectors", {1, 2, 2, 1100}, 1104, 2, 0},  // more vectors than threads
    {"WideFloats", {1, 2, 1, 300}, 300, 9, 0},     // several turns per pixel and tile
    {"LongRuns", {1, 1, 1, 4500}, 4500, 2, 1},     // threads add more than one f32 run
    {"ManyTerms", {2, 3, 3, 8}, 8, 70, 0},         // more than one launch holds
};

// More pixels than blocks, so that blocks walk with a stride. Slow on the host, hence apart.
const Case many_pixels{"ManyPixels", {1, 1, 1030, 256}, 256, 1, 1};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

/// Inputs x, weights in reverse order with three unused positions, and the places all results go to.
struct Problem {
  explicit Problem(const Case& c)
      : shape(c.shape),
        stride(c.pixel_stride),
        w(c.terms + 3, 1),
        dw(c.terms + 3, 2),
        y(extent(), 3, c.offset),
        dy(extent(), 4, c.offset) {
    for (std::size_t k = 0; k < c.terms; ++k) {
      x.emplace_back(extent(), 10 + k, c.offset);
      index.push_back(static_cast<std::int32_t>(c.terms + 2 - k));
    }
  }

  [[nodiscard]] std::size_t extent() const { return static_cast<std::size_t>((pixels() - 1) * stride + shape[-1]); }
  [[nodiscard]] std::int64_t pixels() const { return shape.elements() / shape[-1]; }
  [[nodiscard]] TensorView view(DeviceArray& array) const { return {array.data(), shape, stride}; }
  [[nodiscard]] std::vector<TensorView> views() {
    std::vector<TensorView> result;
    for (DeviceArray& each : x)
      result.push_back(view(each));
    return result;
  }
  [[nodiscard]] TensorView w_view() { return {w.data(), Shape{static_cast<std::int64_t>(w.values().size())}}; }
  [[nodiscard]] TensorView dw_view() { return {dw.data(), Shape{static_cast<std::int64_t>(dw.values().size())}}; }
  [[nodiscard]] double weight(std::size_t k) { return w.values()[static_cast<std::size_t>(index[k])]; }

  /// Calls body(i) for the position of every element of the tensors; those in between belong to somebody else.
  template <typename Body>
  void for_each_element(Body&& body) const {
    for (std::int64_t p = 0; p < pixels(); ++p) {
      for (std::int64_t c = 0; c < shape[-1]; ++c)
        body(static_cast<std::size_t>(p * stride + c));
    }
  }

  Shape shape;
  std::int64_t stride;
  DeviceArray w;
  DeviceArray dw;
  DeviceArray y;
  DeviceArray dy;
  std::vector<DeviceArray> x;
  std::vector<std::int32_t> index;
};

class WeightedSumCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  Problem problem{std::get<0>(GetParam())};
};

// One f32 rounding per term and one of the result, each at most 2^-24 of the sum of magnitudes.
double tolerance(std::size_t terms, double magnitude) {
  return (static_cast<double>(terms) + 1.0) * std::ldexp(1.0, -24) * (magnitude + 1.0);
}

TEST_P(WeightedSumCuda, ForwardMatchesLoops) {
  Problem& p = problem;
  const std::vector<double> before = p.y.to_double();
  p.for_each_element([&](std::size_t i) { p.y.values()[i] = std::numeric_limits<float>::quiet_NaN(); });
  cuda::weighted_sum_forward(p.views(), p.index, p.w_view(), p.view(p.y), nullptr);

  std::vector<bool> written(p.extent(), false);
  p.for_each_element([&](std::size_t i) {
    double expected = 0.0;
    double magnitude = 0.0;
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      const double term = p.weight(k) * p.x[k].values()[i];
      expected += term;
      magnitude += std::abs(term);
    }
    ASSERT_NEAR(p.y.values()[i], expected, tolerance(p.x.size(), magnitude)) << "position " << i;
    written[i] = true;
  });
  for (std::size_t i = 0; i < p.extent(); ++i) {
    if (!written[i]) {
      ASSERT_EQ(p.y.values()[i], before[i]) << "position " << i << " lies between two pixels";
    }
  }
  EXPECT_TRUE(p.y.intact());
}

TEST_P(WeightedSumCuda, DataGradientMatchesLoops) {
  Problem& p = problem;
  std::vector<TensorView> dx = p.views();
  std::vector<Write> write;
  for (std::size_t k = 0; k < dx.size(); ++k)
    write.push_back(k % 2 == 0 ? Write::overwrite : Write::accumulate);
  if (dx.size() > 2) dx[2].data = nullptr;  // a term nobody wants the gradient of
  std::vector<std::vector<double>> expected;
  for (std::size_t k = 0; k < dx.size(); ++k) {
    expected.push_back(p.x[k].to_double());
    if (!dx[k]) continue;
    p.for_each_element([&](std::size_t i) {
      const double gradient = p.weight(k) * p.dy.values()[i];
      expected[k][i] = write[k] == Write::overwrite ? gradient : expected[k][i] + gradient;
      if (write[k] == Write::overwrite) p.x[k].values()[i] = std::numeric_limits<float>::quiet_NaN();
    });
  }
  cuda::weighted_sum_backward_data(p.index, p.w_view(), p.view(p.dy), dx, write, nullptr);
  for (std::size_t k = 0; k < dx.size(); ++k) {
    for (std::size_t i = 0; i < p.extent(); ++i) {
      ASSERT_NEAR(p.x[k].values()[i], expected[k][i], tolerance(1, std::abs(expected[k][i])))
          << "term " << k << ", position " << i;
    }
    EXPECT_TRUE(p.x[k].intact());
  }
}

TEST_P(WeightedSumCuda, WeightGradientMatchesLoops) {
  Problem& p = problem;
  std::vector<double> expected = p.dw.to_double();
  std::vector<double> magnitude(expected.size(), 0.0);
  for (std::size_t k = 0; k < p.x.size(); ++k) {
    const auto at = static_cast<std::size_t>(p.index[k]);
    p.for_each_element([&](std::size_t i) {
      const double term = static_cast<double>(p.dy.values()[i]) * p.x[k].values()[i];
      expected[at] += term;
      magnitude[at] += std::abs(term);
    });
  }
  std::vector<std::byte> workspace(cuda::weighted_sum_workspace(p.shape, p.x.size()));
  cuda::weighted_sum_backward_weights(p.views(), p.index, p.view(p.dy), p.dw_view(), workspace, nullptr);
  for (std::size_t j = 0; j < expected.size(); ++j) {
    // Runs of 16 vectors are added in f32, all else in f64.
    EXPECT_NEAR(p.dw.values()[j], expected[j], tolerance(64, magnitude[j])) << "weight " << j;
  }
  EXPECT_TRUE(p.dw.intact());
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, WeightedSumCuda,
                         testing::Combine(testing::ValuesIn(cases),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)),
                         name_of);
// Two tiles of terms, idle threads, more than one launch.
INSTANTIATE_TEST_SUITE_P(Tiny, WeightedSumCuda,
                         testing::Combine(testing::Values(cases[1], cases[3], cases[8]),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Large, WeightedSumCuda,
                         testing::Combine(testing::Values(many_pixels), testing::Values(simt::Schedule::descending)),
                         name_of);

TEST(WeightedSumCudaSchedules, WeightGradientIsTheSameUnderAll) {
  for (const Case& c : cases) {
    std::vector<std::vector<float>> results;
    for (const simt::Schedule schedule : simt::all_schedules) {
      simt::set_schedule(schedule);
      Problem p(c);
      std::vector<std::byte> workspace(cuda::weighted_sum_workspace(p.shape, p.x.size()));
      cuda::weighted_sum_backward_weights(p.views(), p.index, p.view(p.dy), p.dw_view(), workspace, nullptr);
      results.emplace_back(p.dw.values().begin(), p.dw.values().end());
    }
    for (const std::vector<float>& result : results)
      EXPECT_EQ(result, results[0]) << c;
  }
}

TEST(WeightedSumCudaTerms, MayShareATensor) {
  // Two terms read, and later write, the same tensor: dx = (w0 + w1) * dy.
  const Shape shape{1, 2, 2, 4};
  DeviceArray x(16, 1);
  DeviceArray dy(16, 2);
  DeviceArray w(2, 3);
  const TensorView view(x.data(), shape);
  const std::vector<std::int32_t> index{0, 1};
  const std::vector<TensorView> dx{view, view};
  const std::vector<Write> write{Write::overwrite, Write::accumulate};
  cuda::weighted_sum_backward_data(index, {w.data(), Shape{2}}, {dy.data(), shape}, dx, write, nullptr);
  for (std::size_t i = 0; i < 16; ++i) {
    const double sum = static_cast<double>(w.values()[0]) + w.values()[1];
    EXPECT_NEAR(x.values()[i], sum * dy.values()[i], 1e-6);
  }
}

}  // namespace
}  // namespace dnas::kernels
