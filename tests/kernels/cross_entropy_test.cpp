#include "dnas/kernels/cross_entropy.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/cross_entropy_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <vector>

namespace dnas::kernels {
namespace {

using test::max_relative_error;
using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Case {
  Shape shape;
  float smoothing;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " smoothed by " << c.smoothing;
}

/// Logits spread over [-6, 6) and labels that take all classes.
struct Batch {
  explicit Batch(const Shape& shape) : logits(Tensor::random(shape, 1)), p(shape), dlogits(shape) {
    for (std::int64_t i = 0; i < logits.size(); ++i)
      logits[i] *= 6.0F;
    for (std::int64_t n = 0; n < shape[0]; ++n)
      labels.push_back(n * 7 % shape[1]);
  }
  [[nodiscard]] TensorView labels_view() { return {labels.data(), Shape{logits.shape()[0]}, DType::i64}; }
  float forward(const Context& ctx, float smoothing) {
    cross_entropy_forward(ctx, logits.view(), labels_view(), smoothing, loss.view(), p.view());
    return loss[0];
  }

  Tensor logits;
  std::vector<std::int64_t> labels;
  Tensor loss{Shape{1}};
  Tensor p, dlogits;
};

class CrossEntropy : public ::testing::TestWithParam<Case> {
 protected:
  Batch batch{GetParam().shape};
  Context ctx = Context::cpu(2);
  float smoothing = GetParam().smoothing;
};

TEST_P(CrossEntropy, ForwardMatchesReference) {
  const double loss = batch.forward(ctx, smoothing);
  const double expected = reference::cross_entropy(batch.logits.doubles(), batch.labels, smoothing);
  EXPECT_NEAR(loss, expected, 1e-6 * (1.0 + expected));
  const auto classes = static_cast<std::size_t>(batch.logits.shape()[1]);
  EXPECT_LE(max_relative_error(batch.p, reference::softmax(batch.logits.doubles(), classes)), 5e-7);
}

TEST_P(CrossEntropy, GradientMatchesDifferences) {
  batch.forward(ctx, smoothing);
  cross_entropy_backward(ctx, batch.p.view(), batch.labels_view(), smoothing, batch.dlogits.view());
  constexpr double step = 1e-5;
  const auto classes = static_cast<std::size_t>(batch.logits.shape()[1]);
  const auto rows = static_cast<double>(batch.labels.size());
  const auto logits = batch.logits.doubles();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::size_t n = i / classes;  // other rows do not depend on this element
    const auto row_loss = [&](double change) {
      std::vector<double> row(logits.begin() + static_cast<std::ptrdiff_t>(n * classes),
                              logits.begin() + static_cast<std::ptrdiff_t>((n + 1) * classes));
      row[i % classes] += change;
      return reference::cross_entropy(row, std::array{batch.labels[n]}, smoothing);
    };
    const double slope = (row_loss(step) - row_loss(-step)) / (2.0 * step) / rows;
    ASSERT_NEAR(batch.dlogits[static_cast<std::int64_t>(i)], slope, 5e-7 / rows) << "element " << i;
  }
}

TEST_P(CrossEntropy, ThreadsDoNotChangeABit) {
  batch.forward(Context::cpu(1), smoothing);
  for (const int threads : {2, 3}) {
    Batch other(GetParam().shape);
    other.forward(Context::cpu(threads), smoothing);
    EXPECT_TRUE(other.loss.same_bits(batch.loss));
    EXPECT_TRUE(other.p.same_bits(batch.p));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropy,
                         ::testing::Values(Case{{1, 1}, 0.0F}, Case{{1, 10}, 0.1F}, Case{{64, 10}, 0.0F},
                                           Case{{64, 10}, 0.1F}, Case{{37, 3}, 0.5F}, Case{{1100, 5}, 0.1F},
                                           Case{{2, 1000}, 0.1F}));

TEST(CrossEntropyOp, EqualLogitsCostTheLogarithmOfTheClasses) {
  Batch batch(Shape{5, 10});
  batch.logits = Tensor::filled(Shape{5, 10}, 3.0F);
  EXPECT_FLOAT_EQ(batch.forward(Context::cpu(1), 0.0F), std::log(10.0F));
  EXPECT_FLOAT_EQ(batch.forward(Context::cpu(1), 0.2F), std::log(10.0F));
}

TEST(CrossEntropyOp, HugeLogitsStayFinite) {
  Batch batch(Shape{1, 3});
  batch.logits = Tensor::of(Shape{1, 3}, std::array{1e30F, -1e30F, 0.0F});
  batch.labels = {0};
  EXPECT_EQ(batch.forward(Context::cpu(1), 0.0F), 0.0F);
  batch.labels = {2};
  EXPECT_FLOAT_EQ(batch.forward(Context::cpu(1), 0.0F), 1e30F);
}

TEST(CrossEntropyOp, ImpossibleOtherClassCostsNothing) {
  Batch batch(Shape{1, 2});
  batch.logits = Tensor::of(Shape{1, 2}, std::array{0.0F, -std::numeric_limits<float>::infinity()});
  batch.labels = {0};
  EXPECT_EQ(batch.forward(Context::cpu(1), 0.0F), 0.0F);
}

TEST(CrossEntropyOp, LabelOutsideTheClassesMakesTheLossNan) {
  // Positions this far off fault if they are read.
  for (const std::int64_t label : {std::int64_t{-1}, std::int64_t{10}, std::numeric_limits<std::int64_t>::max() / 8,
                                   std::numeric_limits<std::int64_t>::min() / 8}) {
    Batch batch(Shape{4, 10});
    batch.labels[2] = label;
    EXPECT_TRUE(std::isnan(batch.forward(Context::cpu(1), 0.0F))) << label;
    EXPECT_LE(max_relative_error(batch.p, reference::softmax(batch.logits.doubles(), 10)), 5e-7);
    cross_entropy_backward(Context::cpu(1), batch.p.view(), batch.labels_view(), 0.0F, batch.dlogits.view());
    EXPECT_TRUE(batch.dlogits.gaps_untouched());
  }
}

TEST(CrossEntropyOp, RefusesBadArguments) {
  const Context ctx = Context::cpu(1);
  Batch batch(Shape{4, 10});
  Tensor wrong(Shape{10, 4});
  Tensor vector(Shape{40});
  const TensorView labels = batch.labels_view();
  const TensorView short_labels(labels.data, Shape{3}, DType::i64);
  const TensorView f32_labels(labels.data, Shape{4});
  const auto forward = [&](const TensorView& logits, const TensorView& l, float smoothing, const TensorView& loss,
                           const TensorView& p) { cross_entropy_forward(ctx, logits, l, smoothing, loss, p); };
  const TensorView logits = batch.logits.view();
  const TensorView loss = batch.loss.view();
  const TensorView p = batch.p.view();
  EXPECT_THAT(
      [&] { forward(vector.view(), labels, 0.0F, loss, p); },
      ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_forward: logits is [40], expected a tensor of rank 2")));
  EXPECT_THAT(
      [&] {
        forward(TensorView(logits.data, Shape{0, 10}), labels, 0.0F, loss, p);
      },
      ThrowsMessage<ShapeError>(HasSubstr("logits is [0, 10], expected at least one row and one class")));
  EXPECT_THAT([&] { forward(logits, short_labels, 0.0F, loss, p); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_forward: labels is [3], expected [4]")));
  EXPECT_THAT([&] { forward(logits, f32_labels, 0.0F, loss, p); },
              ThrowsMessage<DtypeError>(HasSubstr("cross_entropy_forward: labels is f32, expected i64")));
  EXPECT_THAT([&] { forward(logits, labels, 0.0F, vector.view(), p); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_forward: loss")));
  EXPECT_THAT([&] { forward(logits, labels, 0.0F, loss, wrong.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_forward: p")));
  for (const float smoothing : {-0.1F, 1.0F, std::nanf("")}) {
    EXPECT_THAT([&] { forward(logits, labels, smoothing, loss, p); },
                ThrowsMessage<ConfigError>(HasSubstr("cross_entropy_forward: smoothing is")));
    EXPECT_THAT([&] { cross_entropy_backward(ctx, p, labels, smoothing, batch.dlogits.view()); },
                ThrowsMessage<ConfigError>(HasSubstr("cross_entropy_backward: smoothing is")));
  }
  EXPECT_THAT([&] { cross_entropy_backward(ctx, vector.view(), labels, 0.0F, batch.dlogits.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_backward: p")));
  EXPECT_THAT([&] { cross_entropy_backward(ctx, p, short_labels, 0.0F, batch.dlogits.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_backward: labels")));
  EXPECT_THAT([&] { cross_entropy_backward(ctx, p, labels, 0.0F, wrong.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("cross_entropy_backward: dlogits")));
}

}  // namespace
}  // namespace dnas::kernels
