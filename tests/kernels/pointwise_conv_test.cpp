#include "dnas/kernels/pointwise_conv.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/pointwise_conv_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;

// f32 sums: the error of a sum of n terms grows as sqrt(n) 2^-24 relative to its own root mean square, times a few for
// the worst of many elements. The largest n here is some thousand pixels.
constexpr double tolerance = 1e-5;

struct Case {
  Shape x;
  std::int64_t out_channels;
  int stride = 1;
  int offset = 0;
  Gap x_gap = {};
  Gap y_gap = {};
  int groups = 1;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.x.to_string() << " -> " << c.out_channels << " stride " << c.stride << " offset " << c.offset
             << " groups " << c.groups << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' ' << c.y_gap.before
             << '+' << c.y_gap.after;
}

class PointwiseConvCase : public testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  PointwiseConv conv{.stride = c.stride, .offset = c.offset, .groups = c.groups};
  Shape y_shape = conv.output_shape(c.x, c.out_channels);
  Shape w_shape{c.out_channels, c.x[3] / c.groups};
  Tensor x = Tensor::random(c.x, 1, c.x_gap);
  Tensor w = Tensor::random(w_shape, 2);
  Tensor dy = Tensor::random(y_shape, 3, c.y_gap);
  reference::PointwiseConvProblem problem{c.x, y_shape, c.stride, c.offset, c.groups};
  Context ctx = Context::cpu(2);

  Tensor weight_gradient(const Context& context, Tensor dw, Write write) const {
    Buffer workspace(pointwise_conv_backward_weight_workspace(conv, c.x, c.out_channels));
    pointwise_conv_backward_weight(context, conv, x.view(), dy.view(), dw.view(), write,
                                   {workspace.data(), workspace.bytes()});
    return dw;
  }
};

std::vector<double> plus(std::vector<double> a, double b) {
  for (double& value : a)
    value += b;
  return a;
}

TEST_P(PointwiseConvCase, ForwardMatchesReference) {
  const Tensor y(y_shape, c.y_gap);
  pointwise_conv_forward(ctx, conv, x.view(), w.view(), y.view());
  EXPECT_LT(max_relative_error(y, reference::pointwise_conv_forward(problem, x.doubles(), w.doubles())), tolerance);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(PointwiseConvCase, DataGradientMatchesReference) {
  const auto expected = reference::pointwise_conv_backward_data(problem, dy.doubles(), w.doubles());
  const Tensor overwritten(c.x, c.x_gap);
  pointwise_conv_backward_data(ctx, conv, dy.view(), w.view(), overwritten.view(), Write::overwrite);
  EXPECT_LT(max_relative_error(overwritten, expected), tolerance);
  EXPECT_TRUE(overwritten.gaps_untouched());

  const Tensor accumulated = Tensor::filled(c.x, 0.5F, c.x_gap);
  pointwise_conv_backward_data(ctx, conv, dy.view(), w.view(), accumulated.view(), Write::accumulate);
  EXPECT_LT(max_relative_error(accumulated, plus(expected, 0.5)), tolerance);
  EXPECT_TRUE(accumulated.gaps_untouched());
}

TEST_P(PointwiseConvCase, WeightGradientMatchesReference) {
  const auto expected = reference::pointwise_conv_backward_weight(problem, x.doubles(), dy.doubles());
  EXPECT_LT(max_relative_error(weight_gradient(ctx, Tensor(w_shape), Write::overwrite), expected), tolerance);
  EXPECT_LT(
      max_relative_error(weight_gradient(ctx, Tensor::filled(w_shape, 0.5F), Write::accumulate), plus(expected, 0.5)),
      tolerance);
}

TEST_P(PointwiseConvCase, ResultsDoNotDependOnThreads) {
  std::vector<Tensor> y;
  std::vector<Tensor> dx;
  std::vector<Tensor> dw;
  for (const int threads : {1, 2, 3}) {
    const Context context = Context::cpu(threads);
    pointwise_conv_forward(context, conv, x.view(), w.view(), y.emplace_back(y_shape, c.y_gap).view());
    pointwise_conv_backward_data(context, conv, dy.view(), w.view(), dx.emplace_back(c.x, c.x_gap).view(),
                                 Write::overwrite);
    dw.push_back(weight_gradient(context, Tensor(w_shape), Write::overwrite));
  }
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_TRUE(y[i].same_bits(y[0]));
    EXPECT_TRUE(dx[i].same_bits(dx[0]));
    EXPECT_TRUE(dw[i].same_bits(dw[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PointwiseConvCase,
    testing::Values(Case{{1, 1, 1, 1}, 1}, Case{{2, 3, 5, 7}, 3}, Case{{3, 16, 16, 16}, 16},
                    Case{{1, 1, 1, 300}, 70},                                       // more weights than one packed tile
                    Case{{9, 16, 16, 12}, 20, 1, 0, {3, 2}, {0, 5}},                // slices
                    Case{{40, 16, 16, 4}, 3},                                       // several blocks
                    Case{{2, 8, 8, 6}, 10, 2},                                      // factorised reduce
                    Case{{2, 8, 8, 6}, 10, 2, 1, {1, 1}, {10, 0}},                  // its shifted branch, slices
                    Case{{5, 7, 9, 5}, 4, 2}, Case{{5, 7, 9, 5}, 4, 2, 1, {2, 0}},  // odd sizes
                    Case{{3, 9, 6, 2}, 3, 3, 2}, Case{{2, 5, 6, 3}, 2, 1, 1}, Case{{2, 9, 9, 3}, 2, 2, 4},
                    Case{{70, 3, 3, 2}, 2, 2, 1},  // more blocks than partial sums
                    Case{{16, 32, 32, 8}, 8, 2, 1},
                    // groups: of several channels, slices, strided and shifted, one each
                    Case{{3, 9, 7, 12}, 20, 1, 0, {}, {}, 4}, Case{{9, 16, 16, 6}, 15, 1, 0, {3, 2}, {0, 5}, 3},
                    Case{{5, 7, 9, 10}, 4, 2, 1, {2, 0}, {1, 1}, 2}, Case{{2, 5, 6, 7}, 7, 1, 0, {}, {}, 7},
                    Case{{4, 5, 6, 3}, 9, 2, 0, {}, {}, 3}, Case{{8, 32, 32, 64}, 64, 1, 0, {}, {}, 8}));

TEST(PointwiseConv, IdentityWeightsCopyTheShiftedPixels) {
  const Tensor x = Tensor::random({1, 4, 4, 2}, 7);
  const std::vector<float> identity{1, 0, 0, 1};
  const Tensor w = Tensor::of({2, 2}, identity);
  const Tensor y({1, 2, 2, 2});
  pointwise_conv_forward(Context::cpu(1), {.stride = 2, .offset = 1}, x.view(), w.view(), y.view());
  // Pixels (1, 1), (1, 3), (3, 1), (3, 3) of x.
  const std::vector<std::int64_t> pixels{5, 7, 13, 15};
  for (std::int64_t p = 0; p < 4; ++p) {
    EXPECT_EQ(y[2 * p], x[2 * pixels[static_cast<std::size_t>(p)]]);
    EXPECT_EQ(y[2 * p + 1], x[2 * pixels[static_cast<std::size_t>(p)] + 1]);
  }
}

TEST(PointwiseConv, DataGradientIsZeroWhereNothingWasRead) {
  const Tensor dy = Tensor::filled({1, 2, 2, 1}, 1.0F);
  const Tensor w = Tensor::filled({1, 1}, 1.0F);
  const Tensor dx({1, 3, 3, 1});
  pointwise_conv_backward_data(Context::cpu(1), {.stride = 2}, dy.view(), w.view(), dx.view(), Write::overwrite);
  const std::vector<float> expected{1, 0, 1, 0, 0, 0, 1, 0, 1};
  for (std::int64_t i = 0; i < 9; ++i)
    EXPECT_EQ(dx[i], expected[static_cast<std::size_t>(i)]) << i;
}

TEST(PointwiseConv, OutputShapeCountsFromTheOffset) {
  EXPECT_EQ((PointwiseConv{.stride = 2, .offset = 0}.output_shape({2, 7, 8, 3}, 5)), (Shape{2, 4, 4, 5}));
  EXPECT_EQ((PointwiseConv{.stride = 2, .offset = 1}.output_shape({2, 7, 8, 3}, 5)), (Shape{2, 3, 4, 5}));
  EXPECT_EQ((PointwiseConv{.stride = 1, .offset = 0}.output_shape({2, 7, 8, 3}, 5)), (Shape{2, 7, 8, 5}));
}

template <typename E>
void expect_error(const std::function<void()>& call, const std::string& part) {
  EXPECT_THAT(call, testing::ThrowsMessage<E>(testing::HasSubstr(part)));
}

TEST(PointwiseConv, RefusesBadOptionsAndEmptyOutputs) {
  expect_error<ConfigError>([] { (void)PointwiseConv{.stride = 0}.output_shape({1, 2, 2, 1}, 1); }, "stride is 0");
  expect_error<ConfigError>([] { (void)PointwiseConv{.offset = -1}.output_shape({1, 2, 2, 1}, 1); }, "offset is -1");
  expect_error<ConfigError>([] { (void)PointwiseConv{.groups = 0}.output_shape({1, 2, 2, 1}, 1); }, "groups is 0");
  expect_error<ShapeError>(
      [] {
        (void)PointwiseConv{.groups = 3}.output_shape({1, 2, 2, 4}, 6);
      },
      "3 groups do not divide the channels of x [1, 2, 2, 4] and the 6 of the output");
  expect_error<ShapeError>([] { (void)PointwiseConv{.groups = 2}.output_shape({1, 2, 2, 4}, 5); }, "the 5 of the");
  expect_error<ShapeError>([] { (void)PointwiseConv{.offset = 2}.output_shape({1, 2, 2, 1}, 1); }, "empty output");
  expect_error<ShapeError>([] { (void)PointwiseConv{}.output_shape({0, 2, 2, 1}, 1); }, "empty output");
  expect_error<ShapeError>([] { (void)PointwiseConv{}.output_shape({1, 2, 2, 1}, 0); }, "empty output");
  expect_error<ShapeError>([] { (void)PointwiseConv{}.output_shape({2, 2, 1}, 1); }, "rank 4");
}

TEST(PointwiseConv, NamesTheArgumentItRefuses) {
  const Context ctx = Context::cpu(1);
  const PointwiseConv conv;
  const Tensor x({2, 3, 3, 4});
  const Tensor w({5, 4});
  const Tensor y({2, 3, 3, 5});
  const Tensor wrong({2, 3, 3, 6});
  Buffer workspace(pointwise_conv_backward_weight_workspace(conv, x.shape(), 5));
  const std::span<std::byte> scratch{workspace.data(), workspace.bytes()};

  expect_error<ShapeError>([&] { pointwise_conv_forward(ctx, conv, w.view(), w.view(), y.view()); },
                           "pointwise_conv_forward: x is [5, 4]");
  expect_error<ShapeError>([&] { pointwise_conv_forward(ctx, conv, x.view(), x.view(), y.view()); },
                           "pointwise_conv_forward: w");
  expect_error<ShapeError>([&] { pointwise_conv_forward(ctx, conv, wrong.view(), w.view(), y.view()); },
                           "pointwise_conv_forward: w is [5, 4], expected [5, 6]");
  expect_error<ShapeError>(
      [&] {
        pointwise_conv_forward(ctx, {.groups = 2}, x.view(), Tensor({6, 4}).view(), wrong.view());
      },
      "pointwise_conv_forward: w is [6, 4], expected [6, 2]");
  expect_error<ShapeError>([&] { pointwise_conv_forward(ctx, conv, x.view(), w.view(), wrong.view()); },
                           "pointwise_conv_forward: y is [2, 3, 3, 6], expected [2, 3, 3, 5]");
  expect_error<ShapeError>(
      [&] {
        pointwise_conv_forward(ctx, conv, x.view(), Tensor({5, 4}, Gap{1, 0}).view(), y.view());
      },
      "w is a channel slice");
  TensorView half = x.view();
  half.dtype = DType::f16;
  expect_error<DtypeError>([&] { pointwise_conv_forward(ctx, conv, half, w.view(), y.view()); }, "x is f16");
  expect_error<ShapeError>(
      [&] {
        pointwise_conv_forward(ctx, conv, {nullptr, x.shape()}, w.view(), y.view());
      },
      "x has no data");
  expect_error<ShapeError>(
      [&] { pointwise_conv_backward_data(ctx, conv, wrong.view(), w.view(), x.view(), Write::overwrite); },
      "pointwise_conv_backward_data: dy");
  expect_error<ShapeError>(
      [&] { pointwise_conv_backward_data(ctx, conv, y.view(), w.view(), wrong.view(), Write::overwrite); },
      "pointwise_conv_backward_data: w");
  expect_error<ShapeError>(
      [&] { pointwise_conv_backward_weight(ctx, conv, x.view(), wrong.view(), w.view(), Write::overwrite, scratch); },
      "pointwise_conv_backward_weight: dy");
  expect_error<ShapeError>(
      [&] {
        pointwise_conv_backward_weight(ctx, conv, x.view(), y.view(), w.view(), Write::overwrite,
                                       scratch.first(scratch.size() - 1));
      },
      "pointwise_conv_backward_weight: workspace has");
}

}  // namespace
}  // namespace dnas::kernels
