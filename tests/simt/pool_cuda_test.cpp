#include "ops/pool_cuda.hpp"

#include "reference/pool_ref.hpp"
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

using simt::DeviceTensor;
using simt::Layout;
using simt::max_relative_error;

struct Case {
  const char* name;
  Shape x;
  Pool pool;
  Layout layout{};
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case cases[] = {
    {"Cell", {3, 9, 11, 16}, {3, 1, 1}},
    {"Reduction", {3, 9, 12, 8}, {3, 2, 1}},
    {"Slice", {2, 9, 11, 8}, {3, 1, 1}, {DType::f32, 4, 8}},
    {"OddChannels", {2, 9, 11, 5}, {3, 2, 1}, {DType::f32, 1, 2}},
    {"Misaligned", {2, 9, 11, 8}, {3, 1, 1}, {DType::f32, 0, 0, 1}},
    {"Large", {2, 13, 14, 4}, {5, 3, 2}},
    {"NoPadding", {2, 8, 8, 4}, {2, 2, 0}},
    {"GapsBetweenWindows", {2, 11, 11, 4}, {2, 3, 0}},
    {"OnePixel", {1, 1, 1, 1}, {3, 1, 1}},
    {"Half", {3, 9, 11, 16}, {3, 1, 1}, {DType::bf16}},
    {"HalfSlice", {2, 9, 11, 8}, {3, 2, 1}, {DType::bf16, 4, 4}},
    {"HalfOddChannels", {2, 9, 11, 7}, {5, 2, 2}, {DType::bf16}},
};

// Sums of up to 25 terms in f32, or of 1/25 each; the largest value has a few times the rms.
constexpr double tolerance = 1e-6;

/// A u8 tensor between guards.
struct Argmax {
  explicit Argmax(const Shape& shape_) : shape(shape_), bytes(static_cast<std::size_t>(shape.elements()) + 32, 0xEE) {}
  [[nodiscard]] TensorView view() { return {bytes.data() + 16, shape, DType::u8}; }
  [[nodiscard]] std::vector<std::uint8_t> values() const { return {bytes.begin() + 16, bytes.end() - 16}; }
  [[nodiscard]] bool untouched() const {
    bool same = true;
    for (std::size_t i = 0; i < 16; ++i)
      same = same && bytes[i] == 0xEE && bytes[bytes.size() - 1 - i] == 0xEE;
    return same;
  }

  Shape shape;
  std::vector<std::uint8_t> bytes;
};

class PoolCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  [[nodiscard]] static const Case& c() { return std::get<0>(GetParam()); }
  [[nodiscard]] static std::vector<double> plus(std::vector<double> values, double term) {
    for (double& v : values)
      v += term;
    return values;
  }

  Shape y_shape = c().pool.output_shape(c().x);
  DeviceTensor x = DeviceTensor::random(c().x, 1, c().layout);
  DeviceTensor y{y_shape, c().layout};
  DeviceTensor dy = DeviceTensor::random(y_shape, 2, c().layout);
  DeviceTensor dx{c().x, c().layout};
};

TEST_P(PoolCuda, MaxForwardMatchesLoops) {
  // Equal values and NaN: the first wins.
  for (std::int64_t i = 0; i < x.size(); i += 3)
    x.set(i, 0.5);
  for (std::int64_t i = 7; i < x.size(); i += 41)
    x.set(i, std::numeric_limits<double>::quiet_NaN());
  Argmax argmax(y_shape);
  cuda::max_pool_forward(c().pool, x.view(), y.view(), argmax.view(), nullptr);
  const auto expected = reference::max_pool_forward(c().pool, c().x, y_shape, x.doubles());
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double value = expected.y[static_cast<std::size_t>(i)];
    EXPECT_TRUE(y[i] == value || (std::isnan(y[i]) && std::isnan(value))) << "element " << i;
  }
  EXPECT_EQ(argmax.values(), expected.argmax);
  EXPECT_TRUE(y.untouched() && argmax.untouched());
}

TEST_P(PoolCuda, MaxBackwardMatchesLoops) {
  Argmax argmax(y_shape);
  cuda::max_pool_forward(c().pool, x.view(), y.view(), argmax.view(), nullptr);
  const auto forward = reference::max_pool_forward(c().pool, c().x, y_shape, x.doubles());
  const auto expected = reference::max_pool_backward(forward, c().x, dy.doubles());
  cuda::max_pool_backward(c().pool, dy.view(), argmax.view(), dx.view(), Write::overwrite, nullptr);
  EXPECT_LE(max_relative_error(dx, expected), tolerance);
  EXPECT_TRUE(dx.untouched());
  const DeviceTensor sum = DeviceTensor::filled(c().x, 1.0, c().layout);
  cuda::max_pool_backward(c().pool, dy.view(), argmax.view(), sum.view(), Write::accumulate, nullptr);
  EXPECT_LE(max_relative_error(sum, plus(expected, 1.0)), tolerance);
}

TEST_P(PoolCuda, AverageMatchesLoops) {
  cuda::avg_pool_forward(c().pool, x.view(), y.view(), nullptr);
  EXPECT_LE(max_relative_error(y, reference::avg_pool_forward(c().pool, c().x, y_shape, x.doubles())), tolerance);
  EXPECT_TRUE(y.untouched());
  const auto expected = reference::avg_pool_backward(c().pool, c().x, y_shape, dy.doubles());
  cuda::avg_pool_backward(c().pool, dy.view(), dx.view(), Write::overwrite, nullptr);
  EXPECT_LE(max_relative_error(dx, expected), tolerance);
  EXPECT_TRUE(dx.untouched());
  const DeviceTensor sum = DeviceTensor::filled(c().x, 1.0, c().layout);
  cuda::avg_pool_backward(c().pool, dy.view(), sum.view(), Write::accumulate, nullptr);
  EXPECT_LE(max_relative_error(sum, plus(expected, 1.0)), tolerance);
}

TEST_P(PoolCuda, GlobalAverageMatchesLoops) {
  const Shape row{c().x[0], c().x[3]};
  const Layout dense{c().layout.dtype, 0, 0, c().layout.offset};
  const DeviceTensor mean(row, dense);
  cuda::global_avg_pool_forward(x.view(), mean.view(), nullptr);
  EXPECT_LE(max_relative_error(mean, reference::global_avg_pool_forward(c().x, x.doubles())), 5e-6);  // terms cancel
  EXPECT_TRUE(mean.untouched());
  const DeviceTensor g = DeviceTensor::random(row, 3, dense);
  const auto expected = reference::global_avg_pool_backward(c().x, g.doubles());
  cuda::global_avg_pool_backward(g.view(), dx.view(), Write::overwrite, nullptr);
  EXPECT_LE(max_relative_error(dx, expected), tolerance);
  EXPECT_TRUE(dx.untouched());
  const DeviceTensor sum = DeviceTensor::filled(c().x, 1.0, c().layout);
  cuda::global_avg_pool_backward(g.view(), sum.view(), Write::accumulate, nullptr);
  EXPECT_LE(max_relative_error(sum, plus(expected, 1.0)), tolerance);
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, PoolCuda,
                         testing::Combine(testing::ValuesIn(cases),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, PoolCuda,
                         testing::Combine(testing::Values(Case{"Tiny", {2, 5, 6, 72}, {3, 1, 1}}),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);

}  // namespace
}  // namespace dnas::kernels
