#include "ops/elementwise_cuda.hpp"

#include "reference/elementwise_ref.hpp"
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
  Shape shape;
  Layout layout{};
  Layout other{};  // of the other tensor of a copy
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case cases[] = {
    {"Dense", {3, 9, 11, 16}},
    {"Slice", {2, 9, 11, 16}, {DType::f32, 4, 8}, {}},
    {"OddChannels", {2, 9, 11, 5}, {DType::f32, 1, 2}, {DType::bf16}},
    {"ManyChannels", {1, 5, 7, 136}, {DType::bf16}, {DType::f32, 8, 0}},
    {"Misaligned", {2, 9, 11, 8}, {DType::f32, 0, 0, 1}, {DType::bf16, 0, 0, 3}},
    {"OneElement", {1, 1, 1, 1}},
    {"Half", {3, 9, 11, 16}, {DType::bf16}, {DType::bf16, 4, 4}},
    {"Large", {1, 24, 22, 64}, {}, {DType::bf16}},
};

class ElementwiseCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  Case c = std::get<0>(GetParam());
  DeviceTensor x = DeviceTensor::random(c.shape, 1, c.layout);
  DeviceTensor y{c.shape, c.layout};
};

// One f32 addition, of values of order 1.
constexpr double tolerance = 2e-7;

TEST_P(ElementwiseCuda, ReluMatchesLoops) {
  cuda::relu_forward(x.view(), y.view(), nullptr);
  EXPECT_EQ(y.doubles(), reference::relu(x.doubles()));
  EXPECT_TRUE(y.untouched());
  const DeviceTensor dy = DeviceTensor::random(c.shape, 2, c.layout);
  const DeviceTensor dx(c.shape, c.layout);
  const auto gradient = reference::relu_gradient(y.doubles(), dy.doubles());
  cuda::relu_backward(y.view(), dy.view(), dx.view(), Write::overwrite, nullptr);
  EXPECT_EQ(dx.doubles(), gradient);
  EXPECT_TRUE(dx.untouched());
  const DeviceTensor sum = DeviceTensor::random(c.shape, 3, c.layout);
  const auto expected = reference::sum(sum.doubles(), gradient);
  cuda::relu_backward(y.view(), dy.view(), sum.view(), Write::accumulate, nullptr);
  EXPECT_LE(max_relative_error(sum, expected), tolerance);
  // In place.
  cuda::relu_backward(y.view(), dy.view(), dy.view(), Write::overwrite, nullptr);
  EXPECT_TRUE(dy.same_bits(dx));
  cuda::relu_forward(x.view(), x.view(), nullptr);
  EXPECT_TRUE(x.same_bits(y));
}

TEST_P(ElementwiseCuda, ReluKeepsNaN) {
  x.set(x.size() / 2, std::numeric_limits<double>::quiet_NaN());
  cuda::relu_forward(x.view(), y.view(), nullptr);
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_EQ(std::isnan(y[i]), i == x.size() / 2);
}

TEST_P(ElementwiseCuda, CopyConvertsAndAccumulates) {
  const DeviceTensor to(c.shape, c.other);
  cuda::copy(x.view(), to.view(), Write::overwrite, nullptr);
  EXPECT_LE(max_relative_error(to, x.doubles()), 0.0);  // rounded, no more
  EXPECT_TRUE(to.untouched());
  const DeviceTensor sum = DeviceTensor::random(c.shape, 3, c.other);
  const auto expected = reference::sum(sum.doubles(), x.doubles());
  cuda::copy(x.view(), sum.view(), Write::accumulate, nullptr);
  EXPECT_LE(max_relative_error(sum, expected), tolerance);
  EXPECT_TRUE(sum.untouched());
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, ElementwiseCuda,
                         testing::Combine(testing::ValuesIn(cases), testing::ValuesIn(simt::all_schedules)), name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, ElementwiseCuda,
                         testing::Combine(testing::Values(Case{"Tiny", {1, 9, 11, 64}, {}, {DType::bf16}}),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);

}  // namespace
}  // namespace dnas::kernels
