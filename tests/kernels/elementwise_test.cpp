#include "dnas/kernels/elementwise.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/elementwise_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ostream>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double exact = 0.0;     // no arithmetic, so no rounding
constexpr double one_sum = 1e-6;  // one rounded f32 addition

struct Case {
  Shape shape;
  Gap gap;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " between gaps of " << c.gap.before << " and " << c.gap.after;
}

/// Whole vectors, ragged ends, narrow and wide channels, several pieces; dense and sliced.
class Elementwise : public ::testing::TestWithParam<Case> {
 protected:
  Context ctx = Context::cpu(2);
  Tensor x = Tensor::random(GetParam().shape, 1, GetParam().gap);
  Tensor other = Tensor::random(GetParam().shape, 2, GetParam().gap);
};

TEST_P(Elementwise, ReluMatchesReference) {
  Tensor y(GetParam().shape, GetParam().gap);
  relu_forward(ctx, x.view(), y.view());
  EXPECT_LE(max_relative_error(y, reference::relu(x.doubles())), exact);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(Elementwise, ReluWorksInPlace) {
  const auto expected = reference::relu(x.doubles());
  relu_forward(ctx, x.view(), x.view());
  EXPECT_LE(max_relative_error(x, expected), exact);
}

TEST_P(Elementwise, ReluGradientOverwritesAndAccumulates) {
  const auto expected = reference::relu_gradient(x.doubles(), other.doubles());
  Tensor dx(GetParam().shape, GetParam().gap);
  relu_backward(ctx, x.view(), other.view(), dx.view(), Write::overwrite);
  EXPECT_LE(max_relative_error(dx, expected), exact);
  relu_backward(ctx, x.view(), other.view(), dx.view(), Write::accumulate);
  EXPECT_LE(max_relative_error(dx, reference::sum(expected, expected)), exact);
  EXPECT_TRUE(dx.gaps_untouched());
}

TEST_P(Elementwise, ReluGradientMayReplaceItsInput) {
  const auto expected = reference::relu_gradient(x.doubles(), other.doubles());
  relu_backward(ctx, x.view(), other.view(), other.view(), Write::overwrite);
  EXPECT_LE(max_relative_error(other, expected), exact);
}

TEST_P(Elementwise, Relu6MatchesReferenceAlsoInPlace) {
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] *= 12.0F;  // about a quarter of them above 6
  const auto expected = reference::relu6(x.doubles());
  Tensor y(GetParam().shape, GetParam().gap);
  relu6_forward(ctx, x.view(), y.view());
  EXPECT_LE(max_relative_error(y, expected), exact);
  EXPECT_TRUE(y.gaps_untouched());
  relu6_forward(ctx, x.view(), x.view());
  EXPECT_TRUE(x.same_bits(y));
}

TEST_P(Elementwise, Relu6GradientOverwritesAndAccumulates) {
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] *= 12.0F;
  relu6_forward(ctx, x.view(), x.view());
  const auto expected = reference::relu6_gradient(x.doubles(), other.doubles());
  Tensor dx(GetParam().shape, GetParam().gap);
  relu6_backward(ctx, x.view(), other.view(), dx.view(), Write::overwrite);
  EXPECT_LE(max_relative_error(dx, expected), exact);
  relu6_backward(ctx, x.view(), other.view(), dx.view(), Write::accumulate);
  EXPECT_LE(max_relative_error(dx, reference::sum(expected, expected)), exact);
  EXPECT_TRUE(dx.gaps_untouched());
  relu6_backward(ctx, x.view(), other.view(), other.view(), Write::overwrite);
  EXPECT_LE(max_relative_error(other, expected), exact) << "in place of dy";
}

TEST_P(Elementwise, CopyOverwritesAndAccumulates) {
  Tensor y(GetParam().shape, GetParam().gap);
  copy(ctx, x.view(), y.view(), Write::overwrite);
  EXPECT_LE(max_relative_error(y, x.doubles()), exact);
  copy(ctx, other.view(), y.view(), Write::accumulate);
  EXPECT_LE(max_relative_error(y, reference::sum(x.doubles(), other.doubles())), one_sum);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(Elementwise, FillWritesTheTensorAndNothingElse) {
  Tensor y(GetParam().shape, GetParam().gap);
  fill(ctx, -1.5F, y.view());
  EXPECT_TRUE(y.same_bits(Tensor::filled(GetParam().shape, -1.5F, GetParam().gap)));
}

TEST_P(Elementwise, ThreadsDoNotChangeABit) {
  const auto results = [&](int threads) {
    const Context context = Context::cpu(threads);
    std::array out{Tensor(GetParam().shape, GetParam().gap), Tensor(GetParam().shape, GetParam().gap),
                   Tensor::filled(GetParam().shape, 1.0F, GetParam().gap), Tensor(GetParam().shape, GetParam().gap),
                   Tensor::filled(GetParam().shape, 1.0F, GetParam().gap)};
    relu_forward(context, x.view(), out[0].view());
    relu_backward(context, x.view(), other.view(), out[1].view(), Write::overwrite);
    copy(context, x.view(), out[2].view(), Write::accumulate);
    relu6_forward(context, x.view(), out[3].view());
    relu6_backward(context, x.view(), other.view(), out[4].view(), Write::accumulate);
    return out;
  };
  const auto one = results(1);
  for (const int threads : {2, 3}) {
    const auto many = results(threads);
    for (std::size_t i = 0; i < many.size(); ++i)
      EXPECT_TRUE(many[i].same_bits(one[i]));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Elementwise,
                         ::testing::Values(Case{{1, 1, 1, 1}, {}}, Case{{3, 5, 7, 3}, {}}, Case{{2, 8, 8, 16}, {}},
                                           Case{{4, 32, 32, 36}, {}}, Case{{33}, {}}, Case{{0, 4, 4, 8}, {}},
                                           Case{{2, 5, 5, 4}, {4, 8}}, Case{{2, 9, 9, 37}, {3, 1}},
                                           Case{{8, 32, 32, 16}, {16, 0}}, Case{{1, 1, 3, 1}, {0, 1}}));

TEST(Elementwise, CopyBetweenSliceAndDense) {
  const Shape shape{2, 3, 3, 20};
  const Tensor dense = Tensor::random(shape, 5);
  Tensor slice(shape, Gap{4, 8});
  Tensor back(shape);
  copy(Context::cpu(1), dense.view(), slice.view(), Write::overwrite);
  copy(Context::cpu(1), slice.view(), back.view(), Write::overwrite);
  EXPECT_TRUE(back.same_bits(dense));
  EXPECT_TRUE(slice.gaps_untouched());
}

TEST(Relu, KeepsNanAndInfinity) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of(Shape{4}, std::array{std::nanf(""), inf, -inf, -0.0F});
  Tensor y(Shape{4});
  relu_forward(Context::cpu(1), x.view(), y.view());
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], inf);
  EXPECT_EQ(y[2], 0.0F);
  EXPECT_EQ(y[3], 0.0F);
}

TEST(Relu6, KeepsNanAndBoundsInfinity) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of(Shape{5}, std::array{std::nanf(""), inf, -inf, 6.0F, 7.0F});
  Tensor y(Shape{5});
  relu6_forward(Context::cpu(1), x.view(), y.view());
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 6.0F);
  EXPECT_EQ(y[2], 0.0F);
  EXPECT_EQ(y[3], 6.0F);
  EXPECT_EQ(y[4], 6.0F);
}

TEST(Relu6, GradientIsZeroAtBothBounds) {
  const Tensor y = Tensor::of(Shape{3}, std::array{0.0F, 3.0F, 6.0F});
  const Tensor dy = Tensor::of(Shape{3}, std::array{std::nanf(""), 2.0F, std::nanf("")});
  Tensor dx(Shape{3});
  relu6_backward(Context::cpu(1), y.view(), dy.view(), dx.view(), Write::overwrite);
  EXPECT_EQ(dx[0], 0.0F);
  EXPECT_EQ(dx[1], 2.0F);
  EXPECT_EQ(dx[2], 0.0F);
}

TEST(Relu, GradientIsZeroAtZeroWhateverArrives) {
  const Tensor y = Tensor::of(Shape{2}, std::array{0.0F, 1.0F});
  const Tensor dy = Tensor::of(Shape{2}, std::array{std::nanf(""), 3.0F});
  Tensor dx(Shape{2});
  relu_backward(Context::cpu(1), y.view(), dy.view(), dx.view(), Write::overwrite);
  EXPECT_EQ(dx[0], 0.0F);
  EXPECT_EQ(dx[1], 3.0F);
}

TEST(Elementwise, RefusesBadArguments) {
  const Context ctx = Context::cpu(1);
  Tensor a(Shape{2, 3});
  Tensor b(Shape{3, 2});
  const TensorView wrong_type(a.view().data, a.shape(), DType::i32);
  EXPECT_THAT([&] { relu_forward(ctx, a.view(), b.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("relu_forward: y is [3, 2], expected [2, 3]")));
  EXPECT_THAT([&] { relu_forward(ctx, wrong_type, a.view()); },
              ThrowsMessage<DtypeError>(HasSubstr("relu_forward: x is i32, expected f32")));
  EXPECT_THAT([&] { relu_backward(ctx, a.view(), b.view(), a.view(), Write::overwrite); },
              ThrowsMessage<ShapeError>(HasSubstr("relu_backward: dy")));
  EXPECT_THAT([&] { relu_backward(ctx, a.view(), a.view(), b.view(), Write::overwrite); },
              ThrowsMessage<ShapeError>(HasSubstr("relu_backward: dx")));
  EXPECT_THAT(
      [&] {
        relu_backward(ctx, TensorView(nullptr, Shape{2, 3}), a.view(), a.view(), Write::overwrite);
      },
      ThrowsMessage<ShapeError>(HasSubstr("relu_backward: y has no data")));
  EXPECT_THAT([&] { relu6_forward(ctx, a.view(), b.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("relu6_forward: y")));
  EXPECT_THAT([&] { relu6_backward(ctx, a.view(), b.view(), a.view(), Write::overwrite); },
              ThrowsMessage<ShapeError>(HasSubstr("relu6_backward: dy")));
  EXPECT_THAT([&] { fill(ctx, 0.0F, wrong_type); }, ThrowsMessage<DtypeError>(HasSubstr("fill: y is i32")));
  EXPECT_THAT([&] { copy(ctx, a.view(), b.view(), Write::overwrite); },
              ThrowsMessage<ShapeError>(HasSubstr("copy: y")));
  EXPECT_THAT(
      [&] {
        copy(ctx, TensorView(a.view().data, Shape{2, 3}, 2), a.view(), Write::overwrite);
      },
      ThrowsMessage<ShapeError>(HasSubstr("copy: x has pixel stride 2, expected at least its 3 channels")));
}

}  // namespace
}  // namespace dnas::kernels
