#include "ops/pointwise_conv_cuda.hpp"

#include "reference/batch_norm_ref.hpp"
#include "reference/pointwise_conv_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

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
using simt::Layout;
using simt::max_relative_error;

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

/// Relative to the rms of a tensor, whose largest elements are several times that.
double product_error(Product product) {
  switch (product) {
    case Product::tf32x3:
      return 3e-6;  // two TF32 numbers hold 21 bits of an operand; sums in f32
    case Product::tf32:
      return 3e-3;  // operands rounded to 11 bits: 2^-11 for each of a product's two, summed at random
    case Product::bf16:
      return 2e-2;  // operands (weights, z and dy) rounded to 8 bits
  }
  return 0.0;
}

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
  [[nodiscard]] std::vector<double> expected_y() const {
    std::vector<double> whole(static_cast<std::size_t>(y_shape.elements()));
    const auto n = static_cast<std::size_t>(w[0].shape()[0]);
    for (std::size_t h = 0; h < halves(); ++h) {
      const auto part = reference::pointwise_conv_forward(half(h), z(), w[h].doubles());
      for (std::size_t i = 0; i < part.size(); ++i)
        whole[i / n * static_cast<std::size_t>(c.out) + h * n + i % n] = part[i];
    }
    return whole;
  }
  [[nodiscard]] std::vector<double> dy() const {
    auto values = g.doubles();
    for (std::size_t i = 0; c.gradient && i < values.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t channel = at % c.out;
      const auto row = [&](std::int64_t r) { return gradient[r * c.out + channel]; };
      values[i] = row(scale_row) * values[i] + row(slope_row) * (y[at] - row(centre_row)) + row(offset_row);
    }
    return values;
  }
  [[nodiscard]] std::vector<double> expected_dx() const {
    std::vector<double> sum(static_cast<std::size_t>(padded().elements()), 0.0);
    for (std::size_t h = 0; h < halves(); ++h) {
      const auto part = reference::pointwise_conv_backward_data(half(h), channels_of(dy(), h), w[h].doubles());
      for (std::size_t i = 0; i < sum.size(); ++i)
        sum[i] += part[i];
    }
    const auto before_relu = s();
    std::vector<double> dx(static_cast<std::size_t>(x.size()));
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<std::size_t>(padded_index(i));
      dx[static_cast<std::size_t>(i)] = c.relu && before_relu[at] <= 0.0 ? 0.0 : sum[at];
    }
    return dx;
  }
  [[nodiscard]] std::vector<double> expected_dw(std::size_t h) const {
    return reference::pointwise_conv_backward_weight(half(h), z(), channels_of(dy(), h));
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
  double tolerance = product_error(p.c.product);
};

TEST_P(PointwiseConvCuda, ForwardMatchesLoops) {
  p.forward();
  EXPECT_LE(max_relative_error(p.y, p.expected_y()), tolerance);
  EXPECT_TRUE(p.y.untouched());
}

TEST_P(PointwiseConvCuda, StatisticsAreThoseOfTheStoredOutput) {
  p.forward();
  const auto channels = static_cast<std::size_t>(p.c.out);
  const auto expected = reference::batch_statistics(p.y.doubles(), channels);
  const auto pixels = static_cast<double>(p.y.pixels());
  for (std::int64_t c = 0; c < p.c.out; ++c) {
    const double mean = expected.mean[static_cast<std::size_t>(c)];
    const double variance = expected.variance[static_cast<std::size_t>(c)];
    const double rstd = 1.0 / std::sqrt(variance + 1e-5);
    // f32 sums of a block's values about one of them.
    EXPECT_NEAR(p.normalisation[c], mean, 1e-7 * std::abs(mean) + 1e-6 / rstd) << "channel " << c;
    EXPECT_NEAR(p.normalisation[p.c.out + c], rstd, 3e-6 * rstd) << "channel " << c;
    const double unbiased = pixels > 1.0 ? variance * pixels / (pixels - 1.0) : 0.0;
    EXPECT_NEAR(p.running_mean[c], 0.45 + 0.1 * mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(p.running_var[c], 1.8 + 0.1 * unbiased, 3e-6 * (1.0 + unbiased));
  }
  EXPECT_TRUE(p.normalisation.untouched() && p.running_mean.untouched());
  Problem plain(p.c);
  plain.forward(false);
  EXPECT_TRUE(plain.y.same_bits(p.y));
}

TEST_P(PointwiseConvCuda, BackwardMatchesLoops) {
  p.forward(false);
  const DeviceTensor dx(p.c.x, p.c.layout);
  p.backward(dx.view(), Write::overwrite, true, Write::overwrite);
  EXPECT_LE(max_relative_error(dx, p.expected_dx()), tolerance);
  EXPECT_TRUE(dx.untouched());
  for (std::size_t h = 0; h < p.halves(); ++h) {
    EXPECT_LE(max_relative_error(p.dw[h], p.expected_dw(h)), tolerance) << "half " << h;
    EXPECT_TRUE(p.dw[h].untouched());
  }
}

TEST_P(PointwiseConvCuda, BackwardAccumulatesOnRequest) {
  p.forward(false);
  const DeviceTensor dx = DeviceTensor::filled(p.c.x, 1.0, p.c.layout);
  p.backward(dx.view(), Write::accumulate, false, Write::overwrite);
  auto expected = p.expected_dx();
  for (double& v : expected)
    v += 1.0;
  EXPECT_LE(max_relative_error(dx, expected), tolerance);
  EXPECT_TRUE(dx.untouched());

  for (DeviceTensor& dw : p.dw)
    dw = DeviceTensor::filled(dw.shape(), 2.0);
  p.backward({}, Write::overwrite, true, Write::accumulate);
  for (std::size_t h = 0; h < p.halves(); ++h) {
    auto expected_dw = p.expected_dw(h);
    for (double& v : expected_dw)
      v += 2.0;
    EXPECT_LE(max_relative_error(p.dw[h], expected_dw), tolerance) << "half " << h;
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
