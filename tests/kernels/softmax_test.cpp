#include "dnas/kernels/softmax.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/softmax_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dnas::kernels {
namespace {

using test::max_relative_error;
using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// f64 inside, one rounding to f32 on the way out.
constexpr double tolerance = 5e-7;

/// Logits spread over [-8, 8), so that rows are far from uniform.
Tensor spread_logits(const Shape& shape) {
  Tensor x = Tensor::random(shape, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] *= 8.0F;
  return x;
}

class Softmax : public ::testing::TestWithParam<Shape> {};

TEST_P(Softmax, ForwardMatchesReference) {
  const Tensor x = spread_logits(GetParam());
  Tensor p(GetParam());
  softmax_forward(Context::cpu(2), x.view(), p.view());
  EXPECT_LE(max_relative_error(p, reference::softmax(x.doubles(), static_cast<std::size_t>(x.shape()[1]))), tolerance);
  EXPECT_TRUE(p.gaps_untouched());
}

TEST_P(Softmax, WorksInPlace) {
  const Tensor x = spread_logits(GetParam());
  Tensor p(GetParam());
  softmax_forward(Context::cpu(1), x.view(), p.view());
  softmax_forward(Context::cpu(1), x.view(), x.view());
  EXPECT_TRUE(x.same_bits(p));
}

TEST_P(Softmax, GradientMatchesDifferences) {
  const Tensor x = spread_logits(GetParam());
  const Tensor dp = Tensor::random(GetParam(), 2);
  Tensor p(GetParam());
  Tensor dx(GetParam());
  softmax_forward(Context::cpu(2), x.view(), p.view());
  softmax_backward(Context::cpu(2), p.view(), dp.view(), dx.view());
  const auto entries = static_cast<std::size_t>(GetParam()[1]);
  const auto values = x.doubles();
  const auto weights = dp.doubles();
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t first = i / entries * entries;  // a row depends on itself only
    const auto objective = [&](double change) {
      std::vector<double> row(values.begin() + static_cast<std::ptrdiff_t>(first),
                              values.begin() + static_cast<std::ptrdiff_t>(first + entries));
      row[i - first] += change;
      const auto y = reference::softmax(row, entries);
      double sum = 0.0;
      for (std::size_t k = 0; k < entries; ++k)
        sum += y[k] * weights[first + k];
      return sum;
    };
    const double slope = (objective(step) - objective(-step)) / (2.0 * step);
    ASSERT_NEAR(dx[static_cast<std::int64_t>(i)], slope, 5e-7) << "element " << i;
  }
}

TEST_P(Softmax, ThreadsDoNotChangeABit) {
  const Tensor x = spread_logits(GetParam());
  Tensor one(GetParam());
  softmax_forward(Context::cpu(1), x.view(), one.view());
  for (const int threads : {2, 3}) {
    Tensor many(GetParam());
    softmax_forward(Context::cpu(threads), x.view(), many.view());
    EXPECT_TRUE(many.same_bits(one));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Softmax,
                         ::testing::Values(Shape{1, 1}, Shape{14, 8}, Shape{3, 5}, Shape{130, 7}, Shape{2, 33}));

TEST(SoftmaxOp, GradientMayReplaceItsInput) {
  const Tensor p = Tensor::of(Shape{1, 3}, std::array{0.2F, 0.3F, 0.5F});
  Tensor dp = Tensor::random(Shape{1, 3}, 2);
  Tensor dx(Shape{1, 3});
  softmax_backward(Context::cpu(1), p.view(), dp.view(), dx.view());
  softmax_backward(Context::cpu(1), p.view(), dp.view(), dp.view());
  EXPECT_TRUE(dp.same_bits(dx));
}

TEST(SoftmaxOp, HugeLogitsDoNotOverflow) {
  const Tensor x = Tensor::of(Shape{2, 2}, std::array{3e38F, -3e38F, 1000.0F, 1000.0F});
  Tensor p(Shape{2, 2});
  softmax_forward(Context::cpu(1), x.view(), p.view());
  EXPECT_EQ(p[0], 1.0F);
  EXPECT_EQ(p[1], 0.0F);
  EXPECT_EQ(p[2], 0.5F);
  EXPECT_EQ(p[3], 0.5F);
}

TEST(SoftmaxOp, AcceptsNoRows) {
  const Tensor none(Shape{0, 8});
  EXPECT_NO_THROW(softmax_forward(Context::cpu(1), none.view(), none.view()));
}

TEST(SoftmaxOp, RefusesBadArguments) {
  const Context ctx = Context::cpu(1);
  Tensor a(Shape{2, 3});
  Tensor b(Shape{3, 2});
  Tensor vector(Shape{6});
  Tensor slice(Shape{2, 3}, test::Gap{0, 2});
  const TensorView integers(a.view().data, a.shape(), DType::i32);
  EXPECT_THAT([&] { softmax_forward(ctx, vector.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_forward: x is [6], expected a tensor of rank 2")));
  EXPECT_THAT([&] { softmax_forward(ctx, slice.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_forward: x is a channel slice")));
  EXPECT_THAT([&] { softmax_forward(ctx, integers, a.view()); },
              ThrowsMessage<DtypeError>(HasSubstr("softmax_forward: x is i32")));
  EXPECT_THAT([&] { softmax_forward(ctx, a.view(), b.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_forward: p is [3, 2], expected [2, 3]")));
  EXPECT_THAT([&] { softmax_backward(ctx, vector.view(), a.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_backward: p")));
  EXPECT_THAT([&] { softmax_backward(ctx, a.view(), b.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_backward: dp")));
  EXPECT_THAT([&] { softmax_backward(ctx, a.view(), a.view(), b.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("softmax_backward: dx")));
}

}  // namespace
}  // namespace dnas::kernels
