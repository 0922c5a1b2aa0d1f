#include "ops/pointwise_conv_cuda.hpp"

#include "reference/pointwise_conv_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"
#include "simt/margins.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using cuda::Product;
using simt::DeviceScratch;
using simt::DeviceTensor;
using simt::Expected;
using simt::Layout;

simt::Margins margins("1x1 convolution");

struct Case {
  const char* name;
  Shape x;
  std::int64_t out;
  PointwiseConv conv{};
  bool factorised = false;
  bool relu = true;
  bool normalised = false;
  bool gradient = true;  // dy of a normalisation gradient
  Product product = Product::tf32x3;
  Layout layout{};
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case cases[] = {
    // More than one tile of pixels for each of several blocks needs thousands of pixels: the case Large below.
    {"Preprocess", {2, 9, 11, 48}, 16},
    {"ManyInputs", {1, 9, 9, 136}, 24},
    {"ManyOutputs", {1, 9, 9, 20}, 72},
    {"OddChannels", {2, 7, 7, 37}, 11, {}, false, false, false, true, Product::tf32x3, {DType::f32, 3, 2}},
    {"Normalised", {2, 9, 9, 40}, 32, {}, false, true, true},
    {"NormalisedLinear", {2, 9, 9, 33}, 33, {}, false, false, true},
    {"PlainGradient", {2, 9, 9, 16}, 64, {}, false, false, false, false},
    {"Slice", {2, 9, 9, 32}, 16, {}, false, true, false, true, Product::tf32x3, {DType::f32, 4, 8}},
    {"Misaligned", {2, 9, 9, 32}, 16, {}, false, true, false, true, Product::tf32x3, {DType::f32, 0, 0, 1}},
    {"Strided", {2, 15, 14, 20}, 24, {2, 0}},
    {"StridedShifted", {2, 15, 14, 20}, 24, {3, 1}},
    {"OnePixel", {1, 1, 1, 3}, 2, {}, false, false, false, false},
    {"Reduce", {2, 14, 18, 32}, 32, {}, true},
    {"ReduceOddExtents", {2, 13, 17, 20}, 20, {}, true, true, true},
    {"ReduceOddChannels", {2, 13, 17, 18}, 14, {}, true},
    {"ReduceManyChannels", {1, 12, 12, 72}, 144, {}, true},
    {"Tf32", {2, 9, 11, 48}, 16, {}, false, true, true, true, Product::tf32},
    {"Tf32Wide", {2, 9, 11, 80}, 64, {}, false, true, false, true, Product::tf32},
    {"Half", {2, 9, 11, 48}, 16, {}, false, true, true, true, Product::bf16, {DType::bf16}},
    {"HalfWide", {2, 9, 11, 72}, 64, {}, false, true, false, true, Product::bf16, {DType::bf16}},
    {"HalfSlice", {2, 9, 11, 24}, 32, {}, false, true, false, true, Product::bf16, {DType::bf16, 8, 8}},
    {"HalfOddChannels", {2, 7, 7, 37}, 11, {}, false, true, false, true, Product::bf16, {DType::bf16, 1, 2}},
    {"HalfReduce", {2, 13, 14, 32}, 32, {}, true, true, false, true, Product::bf16, {DType::bf16}},
};
const Case large{"Large", {7, 89, 60, 4}, 4};  // 585 tiles of pixels: two for most blocks, one, ragged, for the last
const Case large_half{"LargeHalf", {7, 89, 60, 4}, 4, {}, false, true, false, true, Product::bf16, {DType::bf16}};

/// Errors relative to the sum of the magnitudes of what is added up; docs/kernels.md has those that were measured.
struct Tolerance {
  double data;     // of y and dx
  double weights;  // of dw, a sum over pixels, where roundings of operands cancel
};

Tolerance tolerance(Product product) {
  switch (product) {
    case Product::tf32x3:
      return {1e-6, 1e-6};  // 2^-21 for each product; then sums of up to 136 in f32, of dw over a block's pixels
    case Product::tf32:
      return {5e-4, 2.5e-4};  // operands rounded by up to 2^-11 each, which cancel in part
    case Product::bf16:
      return {1e-2, 3e-3};  // z, dy, the weights and the result (not dw) rounded by up to 2^-8 each, likewise
  }
  return {};
}

// f32 sums of a thread and eight lanes, merged in f64, about the first value: it may lie three deviations off.
constexpr simt::StatisticsTolerance statistics_tolerance{5e-7, 1.6e-6};

struct Problem {
  explicit Problem(const Case& c_)
      : c(c_),
        y_shape(c.factorised ? Shape{c.x[0], (c.x[1] + 1) / 2, (c.x[2] + 1) / 2, c.out}
                             : c.conv.output_shape(c.x, c.out)),
        x(DeviceTensor::random(c.x, 1, c.layout)),
        y(y_shape, c.layout),
        g(DeviceTensor::random(y_shape, 2, c.layout)),
        source_normalisation(Shape{2, c.x[3]}),
        gradient(Shape{4, c.out}),
        normalisation(Shape{2, c.out}),
        running_mean(DeviceTensor::filled(Shape{c.out}, 0.5)),
        running_var(DeviceTensor::filled(Shape{c.out}, 2.0)) {
    const std::int64_t per_half = c.factorised ? c.out / 2 : c.out;
    for (std::uint64_t h = 0; h < halves(); ++h) {
      w.push_back(DeviceTensor::random(Shape{per_half, c.x[3]}, 3 + h));
      dw.emplace_back(Shape{per_half, c.x[3]});
    }
    for (std::int64_t i = 0; i < c.x[3]; ++i) {
      source_normalisation.set(i, 0.1 * static_cast<double>(i % 7) - 0.3);
      source_normalisation.set(c.x[3] + i, 0.5 + 0.1 * static_cast<double>(i % 11));
    }
    gradient = DeviceTensor::random(Shape{4, c.out}, 7);
  }

  [[nodiscard]] std::size_t halves() const { return c.factorised ? 2 : 1; }
  [[nodiscard]] cuda::PointwiseInput input() const {
    return {{x.view(), c.normalised ? source_normalisation.view() : TensorView()}, c.relu};
  }
  [[nodiscard]] cuda::PointwiseOutputGradient output() const {
    if (!c.gradient) return {g.view(), {}, {}};
    return {g.view(), y.view(), gradient.view()};
  }
  [[nodiscard]] std::array<TensorView, 2> views(const std::vector<DeviceTensor>& tensors) const {
    return {tensors[0].view(), halves() == 2 ? tensors[1].view() : TensorView()};
  }

  void forward(bool with_statistics = true) {
    const auto plan = cuda::pointwise_forward_tiling(y.pixels(), c.out, static_cast<int>(halves()));
    DeviceScratch scratch(cuda::pointwise_conv_forward_workspace(y_shape), static_cast<std::size_t>(plan.counters));
    cuda::PointwiseStatistics statistics;
    if (with_statistics) statistics = {normalisation.view(), {running_mean.view(), running_var.view()}};
    if (c.factorised) {
      cuda::factorised_reduce_forward(bn, input(), views(w), y.view(), statistics, c.product, scratch.span(), nullptr);
    } else {
      cuda::pointwise_conv_forward(bn, c.conv, input(), w[0].view(), y.view(), statistics, c.product, scratch.span(),
                                   nullptr);
    }
    EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
  }
  void backward(const TensorView& dx, Write write_dx, bool want_dw, Write write_dw) {
    const auto plan = cuda::pointwise_backward_tiling(y.pixels(), c.x[3], c.out, static_cast<int>(halves()));
    DeviceScratch scratch(cuda::pointwise_conv_backward_workspace(c.x, y_shape),
                          static_cast<std::size_t>(plan.counters));
    const auto dws = want_dw ? views(dw) : std::array<TensorView, 2>{};
    if (c.factorised) {
      cuda::factorised_reduce_backward(input(), views(w), output(), {dx, write_dx}, dws, write_dw, c.product,
                                       scratch.span(), nullptr);
    } else {
      cuda::pointwise_conv_backward(c.conv, input(), w[0].view(), output(), {dx, write_dx}, dws[0], write_dw, c.product,
                                    scratch.span(), nullptr);
    }
    EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
  }

  // What double-precision loops make of it. The image of a reduce gets a row and a column of zeros to the end, which
  // its second half may read.

  [[nodiscard]] Shape padded() const {
    return c.factorised ? Shape{c.x[0], 2 * y_shape[1], 2 * y_shape[2], c.x[3]} : c.x;
  }
  [[nodiscard]] std::int64_t padded_index(std::int64_t i) const {
    const std::int64_t channel = i % c.x[3];
    const std::int64_t column = i / c.x[3] % c.x[2];
    const std::int64_t row = i / c.x[3] / c.x[2] % c.x[1];
    const std::int64_t image = i / c.x[3] / c.x[2] / c.x[1];
    return ((image * padded()[1] + row) * padded()[2] + column) * c.x[3] + channel;
  }
  /// s: the source, before the relu.
  [[nodiscard]] std::vector<double> s() const {
    std::vector<double> values(static_cast<std::size_t>(padded().elements()), 0.0);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t channel = i % c.x[3];
      const double value =
          c.normalised ? (x[i] - source_normalisation[channel]) * source_normalisation[c.x[3] + channel] : x[i];
      values[static_cast<std::size_t>(padded_index(i))] = value;
    }
    return values;
  }
  [[nodiscard]] std::vector<double> z() const {
    auto values = s();
    for (double& v : values)
      if (c.relu && v < 0.0) v = 0.0;
    return values;
  }
  [[nodiscard]] reference::PointwiseConvProblem half(std::size_t h) const {
    const Shape half_y{y_shape[0], y_shape[1], y_shape[2], w[0].shape()[0]};
    return {padded(), half_y, c.factorised ? 2 : c.conv.stride, c.factorised ? static_cast<int>(h) : c.conv.offset};
  }
  /// Channels of half h of [pixels, out], or back.
  [[nodiscard]] std::vector<double> channels_of(const std::vector<double>& whole, std::size_t h) const {
    const auto n = static_cast<std::size_t>(w[0].shape()[0]);
    std::vector<double> part;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (i % static_cast<std::size_t>(c.out) / n == h) part.push_back(whole[i]);
    }
    return part;
  }
  [[nodiscard]] Expected expected_y() const {
    Expected whole(y_shape.elements());
    const auto n = static_cast<std::size_t>(w[0].shape()[0]);
    for (std::size_t h = 0; h < halves(); ++h) {
      const auto add = [&](std::vector<double>& to, const std::vector<double>& input,
                           const std::vector<double>& weight) {
        const auto part = reference::pointwise_conv_forward(half(h), input, weight);
        for (std::size_t i = 0; i < part.size(); ++i)
          to[i / n * static_cast<std::size_t>(c.out) + h * n + i % n] = part[i];
      };
      add(whole.value, z(), w[h].doubles());
      add(whole.magnitude, simt::absolute(z()), simt::absolute(w[h].doubles()));
    }
    return whole;
  }
  [[nodiscard]] Expected dy() const {
    if (!c.gradient) return {g.doubles(), simt::absolute(g.doubles())};
    return simt::formed_gradient(gradient.doubles(), g.doubles(), y.doubles());
  }
  [[nodiscard]] Expected expected_dx() const {
    const Expected of_y = dy();
    const auto add = [&](std::vector<double>& to, std::size_t h, const std::vector<double>& of,
                         const std::vector<double>& weight) {
      const auto part = reference::pointwise_conv_backward_data(half(h), channels_of(of, h), weight);
      for (std::size_t i = 0; i < part.size(); ++i)
        to[i] += part[i];
    };
    Expected sum(padded().elements());
    for (std::size_t h = 0; h < halves(); ++h) {
      add(sum.value, h, of_y.value, w[h].doubles());
      add(sum.magnitude, h, of_y.magnitude, simt::absolute(w[h].doubles()));
    }
    const auto before_relu = s();
    Expected dx(x.size());
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<std::size_t>(padded_index(i));
      dx.value[static_cast<std::size_t>(i)] = c.relu && before_relu[at] <= 0.0 ? 0.0 : sum.value[at];
      dx.magnitude[static_cast<std::size_t>(i)] = sum.magnitude[at];
    }
    return dx;
  }
  [[nodiscard]] Expected expected_dw(std::size_t h) const {
    const Expected of_y = dy();
    return {reference::pointwise_conv_backward_weight(half(h), z(), channels_of(of_y.value, h)),
            reference::pointwise_conv_backward_weight(half(h), simt::absolute(z()), channels_of(of_y.magnitude, h))};
  }

  void expect_close(const DeviceTensor& actual, const Expected& expected, const char* what) const {
    const double allowed = std::string(what) == "dw" ? tolerance(c.product).weights : tolerance(c.product).data;
    simt::expect_close(actual.doubles(), expected, allowed, c.product, what, margins);
    EXPECT_TRUE(actual.untouched()) << what;
  }

  Case c;
  BatchNorm bn;
  Shape y_shape;
  DeviceTensor x, y, g, source_normalisation, gradient, normalisation, running_mean, running_var;
  std::vector<DeviceTensor> w, dw;
};

class PointwiseConvCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  Problem p{std::get<0>(GetParam())};
};

TEST_P(PointwiseConvCuda, ForwardMatchesLoops) {
  p.forward();
  p.expect_close(p.y, p.expected_y(), "y");
}

TEST_P(PointwiseConvCuda, StatisticsAreThoseOfTheStoredOutput) {
  p.forward();
  simt::expect_statistics({p.normalisation, p.running_mean, p.running_var}, p.y.doubles(), statistics_tolerance,
                          p.c.product, margins);
  Problem plain(p.c);
  plain.forward(false);
  EXPECT_TRUE(plain.y.same_bits(p.y));
}

TEST_P(PointwiseConvCuda, BackwardMatchesLoops) {
  p.forward(false);
  const DeviceTensor dx(p.c.x, p.c.layout);
  p.backward(dx.view(), Write::overwrite, true, Write::overwrite);
  p.expect_close(dx, p.expected_dx(), "dx");
  for (std::size_t h = 0; h < p.halves(); ++h)
    p.expect_close(p.dw[h], p.expected_dw(h), "dw");
}

TEST_P(PointwiseConvCuda, BackwardAccumulatesOnRequest) {
  p.forward(false);
  const DeviceTensor dx = DeviceTensor::filled(p.c.x, 1.0, p.c.layout);
  p.backward(dx.view(), Write::accumulate, false, Write::overwrite);
  Expected expected = p.expected_dx();
  expected.add(1.0);
  p.expect_close(dx, expected, "dx");

  for (DeviceTensor& dw : p.dw)
    dw = DeviceTensor::filled(dw.shape(), 2.0);
  p.backward({}, Write::overwrite, true, Write::accumulate);
  for (std::size_t h = 0; h < p.halves(); ++h) {
    expected = p.expected_dw(h);
    expected.add(2.0);
    p.expect_close(p.dw[h], expected, "dw");
  }
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, PointwiseConvCuda,
                         testing::Combine(testing::ValuesIn(cases),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Large, PointwiseConvCuda,
                         testing::Combine(testing::Values(large, large_half),
                                          testing::Values(simt::Schedule::descending)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, PointwiseConvCuda,
                         testing::Combine(testing::Values(Case{"Tiny", {1, 13, 14, 20}, 12, {}, true, true, true}),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);

TEST(PointwiseConvCudaSchedules, GiveTheSameBits) {
  for (const Case& c : {cases[1], cases[15], cases[18]}) {
    std::vector<Problem> results;
    std::vector<DeviceTensor> dxs;
    for (const simt::Schedule schedule : simt::all_schedules) {
      simt::set_schedule(schedule);
      Problem& p = results.emplace_back(c);
      const DeviceTensor& dx = dxs.emplace_back(c.x, c.layout);
      p.forward();
      p.backward(dx.view(), Write::overwrite, true, Write::overwrite);
      EXPECT_TRUE(p.y.same_bits(results[0].y)) << c;
      EXPECT_TRUE(p.normalisation.same_bits(results[0].normalisation)) << c;
      EXPECT_TRUE(dx.same_bits(dxs[0])) << c;
      EXPECT_TRUE(p.dw[0].same_bits(results[0].dw[0])) << c;
    }
  }
}

TEST(PointwiseConvCudaTiling, CoversThePixels) {
  for (const std::int64_t pixels : {1, 64, 65, 4096, 65536, 65537, 1'000'003}) {
    for (const std::int64_t channels : {1, 16, 17, 64, 65, 300}) {
      for (const auto& plan : {cuda::pointwise_forward_tiling(pixels, channels, 1),
                               cuda::pointwise_backward_tiling(pixels, channels, 40, 1)}) {
        EXPECT_GE(std::int64_t{plan.blocks} * plan.tiles_per_block * 64, pixels);
        EXPECT_LT(std::int64_t{plan.blocks - 1} * plan.tiles_per_block * 64, pixels);
      }
    }
  }
}

}  // namespace
}  // namespace dnas::kernels
