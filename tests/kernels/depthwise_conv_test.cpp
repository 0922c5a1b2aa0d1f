#include "dnas/kernels/depthwise_conv.hpp"

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"
#include "reference/depthwise_conv_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;
using testing::HasSubstr;
using testing::ThrowsMessage;

// f32 sums of at most 225 products (forward, data), each rounded to 6e-8 of the sum so far; measured: 2.3e-6 for 169
// products, below 1e-6 for the 9 to 49 of real candidates. The weight gradient sums up to N * H * W products, in
// vectors and chunks, which keeps the error in the same range.
constexpr double sum_tolerance = 4e-6;
constexpr double weight_tolerance = 5e-6;

struct Case {
  std::string name;
  Shape x;
  DepthwiseConv conv;
  Gap gap_x;
  Gap gap_y;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::vector<double> sum(const Tensor& a, const Tensor& b) {
  std::vector<double> total = a.doubles();
  for (std::int64_t i = 0; i < b.size(); ++i)
    total[static_cast<std::size_t>(i)] += b[i];
  return total;
}

/// What the three passes produce, from outputs full of NaN.
struct Results {
  Tensor y;
  Tensor dx;
  Tensor dw;
};

struct Problem {
  explicit Problem(const Case& c)
      : conv(c.conv),
        x(Tensor::random(c.x, 1, c.gap_x)),
        w(Tensor::random({c.conv.kernel, c.conv.kernel, c.x[3]}, 2)),
        y_shape(c.conv.output_shape(c.x)),
        dy(Tensor::random(y_shape, 3, c.gap_y)),
        gap_x(c.gap_x),
        gap_y(c.gap_y) {}

  [[nodiscard]] Results run(int threads) const {
    const Context ctx = Context::cpu(threads);
    Results r{Tensor(y_shape, gap_y), Tensor(x.shape(), gap_x), Tensor(w.shape())};
    Buffer workspace(depthwise_conv_backward_weight_workspace(conv, x.shape()));
    std::ranges::fill(workspace.f32(), std::numeric_limits<float>::quiet_NaN());
    depthwise_conv_forward(ctx, conv, x.view(), w.view(), r.y.view());
    depthwise_conv_backward_data(ctx, conv, dy.view(), w.view(), r.dx.view(), Write::overwrite);
    depthwise_conv_backward_weight(ctx, conv, x.view(), dy.view(), r.dw.view(), Write::overwrite, bytes(workspace));
    return r;
  }

  static std::span<std::byte> bytes(Buffer& b) { return {b.data(), b.bytes()}; }

  DepthwiseConv conv;
  Tensor x;
  Tensor w;
  Shape y_shape;
  Tensor dy;
  Gap gap_x;
  Gap gap_y;
};

class DepthwiseConvShapes : public testing::TestWithParam<Case> {};

TEST_P(DepthwiseConvShapes, AgreesWithPlainLoops) {
  const Problem p(GetParam());
  const Results r = p.run(1);
  const auto [x, w, dy] = std::tuple(p.x.doubles(), p.w.doubles(), p.dy.doubles());
  const double y_error =
      max_relative_error(r.y, reference::depthwise_conv_forward(p.conv, p.x.shape(), p.y_shape, x, w));
  const double dx_error =
      max_relative_error(r.dx, reference::depthwise_conv_backward_data(p.conv, p.x.shape(), p.y_shape, dy, w));
  const double dw_error =
      max_relative_error(r.dw, reference::depthwise_conv_backward_weight(p.conv, p.x.shape(), p.y_shape, x, dy));
  EXPECT_LT(y_error, sum_tolerance);
  EXPECT_LT(dx_error, sum_tolerance);
  EXPECT_LT(dw_error, weight_tolerance);
  EXPECT_TRUE(r.y.gaps_untouched());
  EXPECT_TRUE(r.dx.gaps_untouched());
  EXPECT_TRUE(r.dw.gaps_untouched());
}

TEST_P(DepthwiseConvShapes, DoesNotDependOnTheNumberOfThreads) {
  const Problem p(GetParam());
  const Results one = p.run(1);
  for (const int threads : {2, 3}) {
    const Results many = p.run(threads);
    EXPECT_TRUE(many.y.same_bits(one.y)) << threads << " threads";
    EXPECT_TRUE(many.dx.same_bits(one.dx)) << threads << " threads";
    EXPECT_TRUE(many.dw.same_bits(one.dw)) << threads << " threads";
  }
}

TEST_P(DepthwiseConvShapes, AccumulatingAddsToWhatIsThere) {
  const Problem p(GetParam());
  const Results fresh = p.run(2);
  Tensor dx = Tensor::random(p.x.shape(), 4, p.gap_x);
  Tensor dw = Tensor::random(p.w.shape(), 5);
  const std::vector<double> expected_dx = sum(dx, fresh.dx);
  const std::vector<double> expected_dw = sum(dw, fresh.dw);
  Buffer workspace(depthwise_conv_backward_weight_workspace(p.conv, p.x.shape()));
  const Context ctx = Context::cpu(2);
  depthwise_conv_backward_data(ctx, p.conv, p.dy.view(), p.w.view(), dx.view(), Write::accumulate);
  depthwise_conv_backward_weight(ctx, p.conv, p.x.view(), p.dy.view(), dw.view(), Write::accumulate,
                                 Problem::bytes(workspace));
  EXPECT_LT(max_relative_error(dx, expected_dx), sum_tolerance);
  EXPECT_LT(max_relative_error(dw, expected_dw), weight_tolerance);
  EXPECT_TRUE(dx.gaps_untouched());
}

INSTANTIATE_TEST_SUITE_P(
    , DepthwiseConvShapes,
    testing::Values(
        // The candidates of the DARTS space: separable 3x3 and 5x5, dilated 3x3 and 5x5, with and without stride.
        Case{"sep3", {4, 32, 32, 16}, {3, 1, 1, 1}, {}, {}}, Case{"sep5", {3, 16, 16, 32}, {5, 1, 1, 2}, {}, {}},
        Case{"sep7", {2, 8, 8, 64}, {7, 1, 1, 3}, {}, {}}, Case{"dil3", {2, 16, 16, 36}, {3, 1, 2, 2}, {}, {}},
        Case{"dil5", {2, 14, 14, 16}, {5, 1, 2, 4}, {}, {}},
        Case{"sep3_stride2", {2, 32, 32, 16}, {3, 2, 1, 1}, {}, {}},
        Case{"sep5_stride2", {2, 28, 28, 8}, {5, 2, 1, 2}, {}, {}},
        Case{"dil3_stride2", {2, 8, 8, 4}, {3, 2, 2, 2}, {}, {}},
        Case{"dil5_stride2", {2, 14, 14, 72}, {5, 2, 2, 4}, {}, {}},
        Case{"sep7_stride2", {2, 7, 7, 144}, {7, 2, 1, 3}, {}, {}},
        // Channel counts that fill no vector, odd extents, maps smaller than the kernel.
        Case{"channels1", {3, 5, 7, 1}, {3, 1, 1, 1}, {}, {}}, Case{"channels3", {1, 9, 9, 3}, {5, 2, 1, 2}, {}, {}},
        Case{"channels13", {2, 6, 5, 13}, {3, 1, 1, 1}, {}, {}},
        Case{"channels31", {2, 3, 3, 31}, {3, 2, 1, 0}, {}, {}},
        Case{"two_by_two", {70, 2, 2, 64}, {5, 1, 2, 4}, {}, {}}, Case{"one_pixel", {1, 1, 1, 1}, {3, 1, 1, 1}, {}, {}},
        Case{"one_tap", {2, 4, 4, 20}, {1, 1, 1, 0}, {}, {}},
        Case{"one_tap_stride2", {2, 5, 5, 6}, {1, 2, 1, 0}, {}, {}},
        // Even kernel, other strides, no padding, more padding than the kernel needs, rows wider than one strip.
        Case{"even", {2, 9, 8, 16}, {4, 1, 1, 1}, {}, {}}, Case{"stride3", {2, 11, 10, 8}, {3, 3, 1, 1}, {}, {}},
        Case{"stride4_of_2", {1, 13, 9, 4}, {2, 4, 1, 0}, {}, {}},
        Case{"unpadded", {2, 9, 9, 16}, {5, 1, 1, 0}, {}, {}}, Case{"overpadded", {1, 4, 4, 5}, {3, 1, 1, 4}, {}, {}},
        Case{"overpadded2", {1, 4, 4, 16}, {3, 2, 1, 4}, {}, {}}, Case{"wide", {1, 6, 101, 16}, {5, 1, 1, 2}, {}, {}},
        Case{"wide_stride2", {1, 5, 140, 20}, {7, 2, 2, 6}, {}, {}},
        Case{"widest_reach", {1, 30, 30, 16}, {13, 1, 2, 12}, {}, {}},
        Case{"largest", {1, 20, 20, 4}, {15, 8, 1, 7}, {}, {}},
        // Channel slices, of other widths on either side.
        Case{"slice16", {2, 8, 8, 16}, {3, 1, 1, 1}, {16, 32}, {16, 0}},
        Case{"slice4", {2, 8, 7, 4}, {5, 1, 1, 2}, {0, 4}, {3, 5}},
        Case{"slice36", {2, 7, 7, 36}, {3, 2, 2, 2}, {1, 2}, {0, 7}}),
    testing::PrintToStringParamName());

TEST(DepthwiseConv, IdentityKernelCopies) {
  const Shape shape{2, 5, 6, 7};
  const Tensor x = Tensor::random(shape, 1);
  Tensor w = Tensor::filled({3, 3, 7}, 0.0F);
  for (std::int64_t c = 0; c < 7; ++c)
    w[4 * 7 + c] = 1.0F;
  Tensor y(shape);
  depthwise_conv_forward(Context::cpu(1), DepthwiseConv{}, x.view(), w.view(), y.view());
  EXPECT_TRUE(y.same_bits(x));
}

TEST(DepthwiseConv, OnesCountTheNeighbours) {
  const Tensor x = Tensor::filled({1, 3, 3, 1}, 1.0F);
  const Tensor w = Tensor::filled({3, 3, 1}, 1.0F);
  Tensor y(x.shape());
  depthwise_conv_forward(Context::cpu(1), DepthwiseConv{}, x.view(), w.view(), y.view());
  EXPECT_THAT(y.doubles(), testing::ElementsAre(4, 6, 4, 6, 9, 6, 4, 6, 4));
}

TEST(DepthwiseConv, GradientMatchesDifferences) {
  // L = <dy, conv(x, w)> is linear in x and in w, so that central differences are exact but for rounding.
  const DepthwiseConv conv{3, 2, 2, 2};
  const Shape x_shape{1, 5, 6, 5};
  const Shape y_shape = conv.output_shape(x_shape);
  Tensor x = Tensor::random(x_shape, 1);
  Tensor w = Tensor::random({3, 3, 5}, 2);
  const Tensor dy = Tensor::random(y_shape, 3);
  const Context ctx = Context::cpu(1);
  const auto loss = [&] {
    Tensor y(y_shape);
    depthwise_conv_forward(ctx, conv, x.view(), w.view(), y.view());
    double sum = 0.0;
    for (std::int64_t i = 0; i < y.size(); ++i)
      sum += static_cast<double>(y[i]) * dy[i];
    return sum;
  };
  const auto difference = [&](float& at) {
    const float value = at;
    at = value + 0.5F;
    const double up = loss();
    at = value - 0.5F;
    const double down = loss();
    at = value;
    return up - down;
  };
  Tensor dx(x_shape);
  Tensor dw(w.shape());
  Buffer workspace(depthwise_conv_backward_weight_workspace(conv, x_shape));
  depthwise_conv_backward_data(ctx, conv, dy.view(), w.view(), dx.view(), Write::overwrite);
  depthwise_conv_backward_weight(ctx, conv, x.view(), dy.view(), dw.view(), Write::overwrite,
                                 Problem::bytes(workspace));
  for (std::int64_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(dx[i], difference(x[i]), 1e-5) << "x " << i;
  for (std::int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dw[i], difference(w[i]), 1e-5) << "w " << i;
}

TEST(DepthwiseConv, OutputShapeFollowsTheFormula) {
  EXPECT_EQ((DepthwiseConv{5, 2, 2, 4}.output_shape({64, 32, 32, 16})), (Shape{64, 16, 16, 16}));
  EXPECT_EQ((DepthwiseConv{3, 1, 1, 0}.output_shape({1, 3, 5, 2})), (Shape{1, 1, 3, 2}));
  EXPECT_EQ((DepthwiseConv{3, 2, 1, 1}.output_shape({1, 7, 8, 2})), (Shape{1, 4, 4, 2}));
}

TEST(DepthwiseConv, RefusesParametersWithoutMeaning) {
  const Shape x{1, 8, 8, 4};
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{0, 1, 1, 0}.output_shape(x);
              }),
              ThrowsMessage<ConfigError>(HasSubstr("kernel is 0")));
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{3, 0, 1, 1}.output_shape(x);
              }),
              ThrowsMessage<ConfigError>(HasSubstr("stride is 0")));
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{3, 1, 0, 1}.output_shape(x);
              }),
              ThrowsMessage<ConfigError>(HasSubstr("dilation is 0")));
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{3, 1, 1, -1}.output_shape(x);
              }),
              ThrowsMessage<ConfigError>(HasSubstr("padding is -1")));
}

TEST(DepthwiseConv, RefusesWhatItsScratchCannotHold) {
  const Shape x{1, 64, 64, 4};
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{16, 1, 1, 1}.output_shape(x);
              }),
              ThrowsMessage<UnsupportedError>(HasSubstr("kernel is 16")));
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{3, 9, 1, 1}.output_shape(x);
              }),
              ThrowsMessage<UnsupportedError>(HasSubstr("stride is 9")));
  EXPECT_THAT(([&] {
                (void)DepthwiseConv{5, 1, 7, 1}.output_shape(x);
              }),
              ThrowsMessage<UnsupportedError>(HasSubstr("spans 29 pixels")));
}

TEST(DepthwiseConv, RefusesShapesWithoutOutput) {
  const DepthwiseConv conv{5, 1, 1, 0};
  EXPECT_THAT(([&] {
                (void)conv.output_shape({1, 4, 8, 2});
              }),
              ThrowsMessage<ShapeError>(HasSubstr("x is [1, 4, 8, 2], expected at least 5 pixels")));
  EXPECT_THAT(([&] { (void)conv.output_shape({8, 8, 2}); }), ThrowsMessage<ShapeError>(HasSubstr("x is [8, 8, 2]")));
  EXPECT_THAT(([&] { (void)conv.output_shape({0, 8, 8, 2}); }), ThrowsMessage<ShapeError>(HasSubstr("empty axes")));
}

TEST(DepthwiseConv, NamesTheBadArgument) {
  const Context ctx = Context::cpu(1);
  const DepthwiseConv conv;
  const Tensor x = Tensor::random({2, 4, 4, 8}, 1);
  const Tensor w = Tensor::random({3, 3, 8}, 2);
  const Tensor y({2, 4, 4, 8});
  const Tensor small({2, 4, 3, 8});
  const Tensor sliced({3, 3, 8}, Gap{0, 8});
  std::array<std::int64_t, 256> integers{};
  const TensorView wrong_type(integers.data(), x.shape(), DType::i64);
  Buffer workspace(depthwise_conv_backward_weight_workspace(conv, x.shape()));
  const auto scratch = Problem::bytes(workspace);

  EXPECT_THAT(([&] { depthwise_conv_forward(ctx, conv, x.view(), w.view(), small.view()); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_forward: y is [2, 4, 3, 8], expected [2, 4, 4, 8]")));
  EXPECT_THAT(([&] { depthwise_conv_forward(ctx, conv, x.view(), x.view(), y.view()); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_forward: w")));
  EXPECT_THAT(([&] { depthwise_conv_forward(ctx, conv, x.view(), sliced.view(), y.view()); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_forward: w is a channel slice")));
  EXPECT_THAT(([&] { depthwise_conv_forward(ctx, conv, wrong_type, w.view(), y.view()); }),
              ThrowsMessage<DtypeError>(HasSubstr("depthwise_conv_forward: x is i64")));
  EXPECT_THAT(([&] { depthwise_conv_forward(ctx, conv, TensorView(nullptr, x.shape()), w.view(), y.view()); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_forward: x has no data")));
  EXPECT_THAT(([&] { depthwise_conv_backward_data(ctx, conv, small.view(), w.view(), x.view(), Write::overwrite); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_backward_data: dy")));
  EXPECT_THAT(([&] { depthwise_conv_backward_data(ctx, conv, y.view(), y.view(), x.view(), Write::overwrite); }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_backward_data: w")));
  EXPECT_THAT(([&] { depthwise_conv_backward_data(ctx, conv, y.view(), w.view(), wrong_type, Write::overwrite); }),
              ThrowsMessage<DtypeError>(HasSubstr("depthwise_conv_backward_data: dx")));
  EXPECT_THAT(
      ([&] { depthwise_conv_backward_weight(ctx, conv, wrong_type, y.view(), w.view(), Write::overwrite, scratch); }),
      ThrowsMessage<DtypeError>(HasSubstr("depthwise_conv_backward_weight: x")));
  EXPECT_THAT(
      ([&] { depthwise_conv_backward_weight(ctx, conv, x.view(), small.view(), w.view(), Write::overwrite, scratch); }),
      ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_backward_weight: dy")));
  EXPECT_THAT(
      ([&] { depthwise_conv_backward_weight(ctx, conv, x.view(), y.view(), y.view(), Write::overwrite, scratch); }),
      ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_backward_weight: dw")));
  EXPECT_THAT(([&] {
                depthwise_conv_backward_weight(ctx, conv, x.view(), y.view(), w.view(), Write::overwrite,
                                               scratch.first(scratch.size() - 1));
              }),
              ThrowsMessage<ShapeError>(HasSubstr("depthwise_conv_backward_weight: workspace")));
}

}  // namespace
}  // namespace dnas::kernels
