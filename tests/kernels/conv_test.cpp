#include "dnas/kernels/conv.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/conv_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>
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
  Conv conv;
  Gap x_gap = {};
  Gap y_gap = {};
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.x.to_string() << " -> " << c.out_channels << " kernel " << c.conv.kernel_h << 'x' << c.conv.kernel_w
             << " stride " << c.conv.stride_h << 'x' << c.conv.stride_w << " padding " << c.conv.padding_h << 'x'
             << c.conv.padding_w << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' ' << c.y_gap.before << '+'
             << c.y_gap.after;
}

class ConvCase : public testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Shape y_shape = c.conv.output_shape(c.x, c.out_channels);
  Shape w_shape{c.out_channels, c.conv.kernel_h, c.conv.kernel_w, c.x[3]};
  Tensor x = Tensor::random(c.x, 1, c.x_gap);
  Tensor w = Tensor::random(w_shape, 2);
  Tensor dy = Tensor::random(y_shape, 3, c.y_gap);
  reference::ConvProblem problem{c.conv, c.x, y_shape};
  Context two_threads = Context::cpu(2);

  /// Scratch full of NaN: nothing may be taken from it that was not put there.
  [[nodiscard]] Tensor scratch(const Context& ctx) const {
    const std::size_t bytes = conv_workspace(ctx, c.conv, c.x, c.out_channels);
    return Tensor({static_cast<std::int64_t>(bytes / sizeof(float))});
  }
  static std::span<std::byte> bytes(const Tensor& scratch) {
    return {static_cast<std::byte*>(scratch.view().data), static_cast<std::size_t>(scratch.size()) * sizeof(float)};
  }

  [[nodiscard]] Tensor forward(const Context& ctx) const {
    Tensor y(y_shape, c.y_gap);
    const Tensor workspace = scratch(ctx);
    conv_forward(ctx, c.conv, x.view(), w.view(), y.view(), bytes(workspace));
    EXPECT_TRUE(workspace.gaps_untouched());
    return y;
  }
  [[nodiscard]] Tensor data_gradient(const Context& ctx, Tensor dx, Write write) const {
    const Tensor workspace = scratch(ctx);
    conv_backward_data(ctx, c.conv, dy.view(), w.view(), dx.view(), write, bytes(workspace));
    EXPECT_TRUE(workspace.gaps_untouched());
    return dx;
  }
  [[nodiscard]] Tensor weight_gradient(const Context& ctx, Tensor dw, Write write) const {
    const Tensor workspace = scratch(ctx);
    conv_backward_weight(ctx, c.conv, x.view(), dy.view(), dw.view(), write, bytes(workspace));
    EXPECT_TRUE(workspace.gaps_untouched());
    return dw;
  }
};

std::vector<double> plus(std::vector<double> a, double b) {
  for (double& value : a)
    value += b;
  return a;
}

TEST_P(ConvCase, ForwardMatchesReference) {
  const Tensor y = forward(two_threads);
  EXPECT_LT(max_relative_error(y, reference::conv_forward(problem, x.doubles(), w.doubles())), tolerance);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(ConvCase, DataGradientMatchesReference) {
  const auto expected = reference::conv_backward_data(problem, dy.doubles(), w.doubles());
  const Tensor overwritten = data_gradient(two_threads, Tensor(c.x, c.x_gap), Write::overwrite);
  EXPECT_LT(max_relative_error(overwritten, expected), tolerance);
  EXPECT_TRUE(overwritten.gaps_untouched());
  const Tensor accumulated = data_gradient(two_threads, Tensor::filled(c.x, 0.5F, c.x_gap), Write::accumulate);
  EXPECT_LT(max_relative_error(accumulated, plus(expected, 0.5)), tolerance);
  EXPECT_TRUE(accumulated.gaps_untouched());
}

TEST_P(ConvCase, WeightGradientMatchesReference) {
  const auto expected = reference::conv_backward_weight(problem, x.doubles(), dy.doubles());
  EXPECT_LT(max_relative_error(weight_gradient(two_threads, Tensor(w_shape), Write::overwrite), expected), tolerance);
  EXPECT_LT(max_relative_error(weight_gradient(two_threads, Tensor::filled(w_shape, 0.5F), Write::accumulate),
                               plus(expected, 0.5)),
            tolerance);
}

TEST_P(ConvCase, ResultsDoNotDependOnThreads) {
  const Context one = Context::cpu(1);
  const Tensor y = forward(one);
  const Tensor dx = data_gradient(one, Tensor(c.x, c.x_gap), Write::overwrite);
  const Tensor dw = weight_gradient(one, Tensor(w_shape), Write::overwrite);
  for (const int threads : {2, 3}) {
    const Context ctx = Context::cpu(threads);
    EXPECT_TRUE(forward(ctx).same_bits(y));
    EXPECT_TRUE(data_gradient(ctx, Tensor(c.x, c.x_gap), Write::overwrite).same_bits(dx));
    EXPECT_TRUE(weight_gradient(ctx, Tensor(w_shape), Write::overwrite).same_bits(dw));
  }
}

constexpr Conv row{.kernel_h = 1, .kernel_w = 7, .padding_h = 0, .padding_w = 3};
constexpr Conv column{.kernel_h = 7, .kernel_w = 1, .stride_h = 2, .stride_w = 2, .padding_h = 3, .padding_w = 0};
constexpr Conv strided{.stride_h = 2, .stride_w = 2};
constexpr Conv valid{.padding_h = 0, .padding_w = 0};
constexpr Conv single{.kernel_h = 1, .kernel_w = 1, .padding_h = 0, .padding_w = 0};
constexpr Conv lopsided{.kernel_h = 2, .kernel_w = 4, .stride_h = 3, .stride_w = 1, .padding_h = 2, .padding_w = 5};

INSTANTIATE_TEST_SUITE_P(
    Shapes, ConvCase,
    testing::Values(Case{{1, 1, 1, 1}, 1, {}}, Case{{2, 5, 7, 3}, 4, {}}, Case{{3, 32, 32, 3}, 48, {}},  // stem
                    Case{{2, 9, 8, 5}, 6, strided}, Case{{2, 9, 8, 5}, 6, strided, {1, 2}, {3, 0}},      // slices
                    Case{{2, 7, 9, 4}, 3, row}, Case{{2, 7, 9, 4}, 3, row, {0, 4}},                      // 1x7
                    Case{{2, 9, 9, 4}, 3, column}, Case{{1, 3, 3, 2}, 5, valid}, Case{{3, 4, 5, 6}, 2, single},
                    Case{{2, 5, 6, 3}, 2, lopsided},  // outputs that see padding only
                    Case{{2, 11, 13, 70}, 9, {}},
                    Case{{2, 19, 20, 460}, 2, {}}));  // several blocks; more than partial sums

TEST(Conv, CentreTapAloneCopiesTheInput) {
  const Tensor x = Tensor::random({2, 4, 5, 1}, 7);
  Tensor w = Tensor::filled({1, 3, 3, 1}, 0.0F);
  w[4] = 1.0F;
  const Tensor y({2, 4, 5, 1});
  const Context ctx = Context::cpu(1);
  const Conv conv;
  Buffer workspace(conv_workspace(ctx, conv, x.shape(), 1));
  conv_forward(ctx, conv, x.view(), w.view(), y.view(), {workspace.data(), workspace.bytes()});
  for (std::int64_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(y[i], x[i]) << i;
}

TEST(Conv, OnesCountTheTapsThatLieOnTheImage) {
  const Tensor x = Tensor::filled({1, 3, 3, 1}, 1.0F);
  const Tensor w = Tensor::filled({1, 3, 3, 1}, 1.0F);
  const Tensor y({1, 3, 3, 1});
  const Context ctx = Context::cpu(1);
  const Conv conv;
  Buffer workspace(conv_workspace(ctx, conv, x.shape(), 1));
  conv_forward(ctx, conv, x.view(), w.view(), y.view(), {workspace.data(), workspace.bytes()});
  const std::vector<float> expected{4, 6, 4, 6, 9, 6, 4, 6, 4};
  for (std::int64_t i = 0; i < 9; ++i)
    EXPECT_EQ(y[i], expected[static_cast<std::size_t>(i)]) << i;
}

TEST(Conv, OutputShapeFollowsKernelStrideAndPadding) {
  EXPECT_EQ(Conv{}.output_shape({2, 32, 31, 3}, 48), (Shape{2, 32, 31, 48}));
  EXPECT_EQ(strided.output_shape({2, 32, 31, 3}, 48), (Shape{2, 16, 16, 48}));
  EXPECT_EQ(row.output_shape({2, 8, 9, 3}, 4), (Shape{2, 8, 9, 4}));
  EXPECT_EQ(valid.output_shape({1, 3, 5, 1}, 1), (Shape{1, 1, 3, 1}));
}

template <typename E>
void expect_error(const std::function<void()>& call, const std::string& part) {
  EXPECT_THAT(call, testing::ThrowsMessage<E>(testing::HasSubstr(part)));
}

TEST(Conv, RefusesBadOptionsAndEmptyOutputs) {
  const Shape x{1, 4, 4, 1};
  expect_error<ConfigError>([&] { (void)Conv{.kernel_h = 0}.output_shape(x, 1); }, "kernel_h is 0");
  expect_error<ConfigError>([&] { (void)Conv{.kernel_w = 0}.output_shape(x, 1); }, "kernel_w is 0");
  expect_error<ConfigError>([&] { (void)Conv{.stride_h = 0}.output_shape(x, 1); }, "stride_h is 0");
  expect_error<ConfigError>([&] { (void)Conv{.stride_w = -1}.output_shape(x, 1); }, "stride_w is -1");
  expect_error<ConfigError>([&] { (void)Conv{.padding_h = -1}.output_shape(x, 1); }, "padding_h is -1");
  expect_error<ConfigError>([&] { (void)Conv{.padding_w = -2}.output_shape(x, 1); }, "padding_w is -2");
  expect_error<ShapeError>([&] { (void)valid.output_shape({1, 2, 4, 1}, 1); }, "empty output");
  expect_error<ShapeError>([&] { (void)Conv{}.output_shape({0, 4, 4, 1}, 1); }, "empty output");
  expect_error<ShapeError>([&] { (void)Conv{}.output_shape(x, 0); }, "empty output");
  expect_error<ShapeError>([&] { (void)Conv{}.output_shape({4, 4, 1}, 1); }, "rank 4");
}

TEST(Conv, NamesTheArgumentItRefuses) {
  const Context ctx = Context::cpu(1);
  const Conv conv;
  const Tensor x({2, 4, 4, 3});
  const Tensor w({5, 3, 3, 3});
  const Tensor y({2, 4, 4, 5});
  const Tensor wrong({2, 4, 4, 6});
  Buffer buffer(conv_workspace(ctx, conv, x.shape(), 5));
  const std::span<std::byte> scratch{buffer.data(), buffer.bytes()};

  expect_error<ShapeError>(
      [&] {
        conv_forward(ctx, conv, Tensor({2, 3}).view(), w.view(), y.view(), scratch);
      },
      "conv_forward: x is [2, 3]");
  expect_error<ShapeError>([&] { conv_forward(ctx, conv, x.view(), wrong.view(), y.view(), scratch); },
                           "conv_forward: w is [2, 4, 4, 6], expected [2, 3, 3, 3]");
  expect_error<ShapeError>(
      [&] {
        conv_forward(ctx, conv, x.view(), Tensor({5, 3, 3, 3}, Gap{0, 1}).view(), y.view(), scratch);
      },
      "w is a channel slice");
  expect_error<ShapeError>([&] { conv_forward(ctx, conv, x.view(), w.view(), wrong.view(), scratch); },
                           "conv_forward: y is [2, 4, 4, 6], expected [2, 4, 4, 5]");
  TensorView half = x.view();
  half.dtype = DType::bf16;
  expect_error<DtypeError>([&] { conv_forward(ctx, conv, half, w.view(), y.view(), scratch); }, "x is bf16");
  expect_error<ShapeError>(
      [&] { conv_forward(ctx, conv, x.view(), w.view(), y.view(), scratch.first(scratch.size() - 1)); },
      "conv_forward: workspace has");
  expect_error<ShapeError>(
      [&] { conv_backward_data(ctx, conv, wrong.view(), w.view(), x.view(), Write::overwrite, scratch); },
      "conv_backward_data: dy");
  expect_error<ShapeError>(
      [&] { conv_backward_data(ctx, conv, y.view(), w.view(), x.view(), Write::overwrite, scratch.first(0)); },
      "conv_backward_data: workspace");
  expect_error<ShapeError>(
      [&] { conv_backward_weight(ctx, conv, x.view(), y.view(), wrong.view(), Write::overwrite, scratch); },
      "conv_backward_weight: dw");
  expect_error<ShapeError>(
      [&] { conv_backward_weight(ctx, conv, x.view(), y.view(), w.view(), Write::overwrite, scratch.first(8)); },
      "conv_backward_weight: workspace has 8 bytes");
  Buffer larger(scratch.size() + 4);
  const std::span<std::byte> unaligned{larger.data() + 4, scratch.size()};
  expect_error<ShapeError>(
      [&] { conv_backward_weight(ctx, conv, x.view(), y.view(), w.view(), Write::overwrite, unaligned); },
      "conv_backward_weight: workspace is not aligned");
}

}  // namespace
}  // namespace dnas::kernels
