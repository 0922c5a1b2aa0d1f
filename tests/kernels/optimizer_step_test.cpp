#include "dnas/kernels/optimizer_step.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/optimizer_step_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using test::max_relative_error;
using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Five steps of a handful of rounded f32 operations each.
constexpr double tolerance = 2e-6;

std::span<float> span_of(const Tensor& t) {
  return {t.view().f32(), static_cast<std::size_t>(t.size())};
}

/// One element, ragged ends, several pieces.
class OptimizerStep : public ::testing::TestWithParam<std::int64_t> {
 protected:
  [[nodiscard]] Tensor gradient(int step) const {
    return Tensor::random(Shape{GetParam()}, 100 + static_cast<std::uint64_t>(step));
  }
  [[nodiscard]] std::vector<double> zeros() const {
    return std::vector<double>(static_cast<std::size_t>(GetParam()), 0.0);
  }

  Context ctx = Context::cpu(2);
  Tensor w = Tensor::random(Shape{GetParam()}, 1);
};

TEST_P(OptimizerStep, SgdMatchesReferenceOverFiveSteps) {
  const SgdStep step{.learning_rate = 0.1F, .momentum = 0.9F, .weight_decay = 3e-4F, .scale = 0.5F};
  Tensor buffer = Tensor::filled(w.shape(), 0.0F);
  auto expected = w.doubles();
  auto expected_buffer = zeros();
  for (int t = 0; t < 5; ++t) {
    const Tensor grad = gradient(t);
    sgd_step(ctx, step, span_of(grad), span_of(buffer), span_of(w));
    reference::sgd({step.learning_rate, step.momentum, step.weight_decay, step.scale}, grad.doubles(), expected_buffer,
                   expected);
  }
  EXPECT_LE(max_relative_error(w, expected), tolerance);
  EXPECT_LE(max_relative_error(buffer, expected_buffer), tolerance);
  EXPECT_TRUE(w.gaps_untouched() && buffer.gaps_untouched());
}

TEST_P(OptimizerStep, AdamMatchesReferenceOverFiveSteps) {
  AdamStep step{.learning_rate = 3e-2F, .beta1 = 0.5F, .beta2 = 0.999F, .epsilon = 1e-8F, .weight_decay = 1e-3F};
  Tensor m = Tensor::filled(w.shape(), 0.0F);
  Tensor v = Tensor::filled(w.shape(), 0.0F);
  auto expected = w.doubles();
  auto expected_m = zeros();
  auto expected_v = zeros();
  for (int t = 0; t < 5; ++t) {
    const Tensor grad = gradient(t);
    step.t = t + 1;
    adam_step(ctx, step, span_of(grad), span_of(m), span_of(v), span_of(w));
    reference::adam({step.learning_rate, step.beta1, step.beta2, step.epsilon, step.weight_decay}, step.t,
                    grad.doubles(), expected_m, expected_v, expected);
  }
  EXPECT_LE(max_relative_error(w, expected), tolerance);
  EXPECT_LE(max_relative_error(m, expected_m), tolerance);
  EXPECT_LE(max_relative_error(v, expected_v), tolerance);
  EXPECT_TRUE(w.gaps_untouched() && m.gaps_untouched() && v.gaps_untouched());
}

TEST_P(OptimizerStep, FirstAdamStepIsTheLearningRateAgainstTheSign) {
  const AdamStep step{.learning_rate = 0.01F, .weight_decay = 0.1F};
  const Tensor before = Tensor::random(w.shape(), 1);  // as w
  const Tensor grad = gradient(0);
  Tensor m = Tensor::filled(w.shape(), 0.0F);
  Tensor v = Tensor::filled(w.shape(), 0.0F);
  adam_step(ctx, step, span_of(grad), span_of(m), span_of(v), span_of(w));
  for (std::int64_t i = 0; i < w.size(); ++i) {
    const double g = static_cast<double>(grad[i]) + static_cast<double>(step.weight_decay) * before[i];
    if (std::abs(g) < 1e-3) continue;  // where eps and rounding of g itself show
    EXPECT_NEAR(w[i] - before[i], g > 0.0 ? -0.01 : 0.01, 2e-7) << "element " << i;
  }
}

TEST_P(OptimizerStep, AxpyMatchesReference) {
  const Tensor x = gradient(0);
  auto expected = w.doubles();
  for (std::int64_t i = 0; i < x.size(); ++i)
    expected[static_cast<std::size_t>(i)] += 0.75 * x[i];
  axpy(ctx, 0.75F, span_of(x), span_of(w));
  EXPECT_LE(max_relative_error(w, expected), 2e-7);
}

TEST_P(OptimizerStep, SquaredNormMatchesReference) {
  double expected = 0.0;
  for (const double v : w.doubles())
    expected += v * v;
  // The plain f64 sum of a million squares is itself off by about 1e-12.
  EXPECT_NEAR(squared_norm(ctx, span_of(w)), expected, 1e-11 * expected);
}

TEST_P(OptimizerStep, ThreadsDoNotChangeABit) {
  const Tensor grad = gradient(0);
  const auto adam = [&](int threads) {
    std::array state{Tensor::random(w.shape(), 1), Tensor::filled(w.shape(), 0.5F), Tensor::filled(w.shape(), 0.25F)};
    const AdamStep step{.learning_rate = 0.01F, .t = 3};
    adam_step(Context::cpu(threads), step, span_of(grad), span_of(state[1]), span_of(state[2]), span_of(state[0]));
    return state;
  };
  const auto sgd = [&](int threads) {
    std::array state{Tensor::random(w.shape(), 1), Tensor::filled(w.shape(), 0.5F)};
    const SgdStep step{.learning_rate = 0.01F, .momentum = 0.9F, .weight_decay = 0.1F};
    sgd_step(Context::cpu(threads), step, span_of(grad), span_of(state[1]), span_of(state[0]));
    axpy(Context::cpu(threads), 0.3F, span_of(grad), span_of(state[0]));
    return state;
  };
  const auto one = adam(1);
  const auto one_sgd = sgd(1);
  for (const int threads : {2, 3}) {
    const auto many = adam(threads);
    for (std::size_t i = 0; i < many.size(); ++i)
      EXPECT_TRUE(many[i].same_bits(one[i]));
    const auto many_sgd = sgd(threads);
    for (std::size_t i = 0; i < many_sgd.size(); ++i)
      EXPECT_TRUE(many_sgd[i].same_bits(one_sgd[i]));
    EXPECT_EQ(squared_norm(Context::cpu(threads), span_of(w)), squared_norm(Context::cpu(1), span_of(w)));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, OptimizerStep, ::testing::Values(1, 17, 1000, 16385, 1300001));

TEST(SquaredNorm, OfNothingIsZero) {
  EXPECT_EQ(squared_norm(Context::cpu(2), {}), 0.0);
}

TEST(SquaredNorm, DoesNotOverflowF32) {
  const std::array x{3e30F, 4e30F};
  EXPECT_DOUBLE_EQ(squared_norm(Context::cpu(1), x), static_cast<double>(3e30F) * static_cast<double>(3e30F) +
                                                         static_cast<double>(4e30F) * static_cast<double>(4e30F));
}

TEST(ClipScale, BringsTheNormDownAndNeverUp) {
  EXPECT_FLOAT_EQ(clip_scale(100.0, 5.0), 0.5F);
  EXPECT_EQ(clip_scale(1.0, 5.0), 1.0F);
  EXPECT_EQ(clip_scale(0.0, 5.0), 1.0F);
  EXPECT_EQ(clip_scale(std::numeric_limits<double>::infinity(), 5.0), 0.0F);
  EXPECT_TRUE(std::isnan(clip_scale(std::nan(""), 5.0)));
}

TEST(OptimizerStepArguments, RefusesSpansOfOtherLengths) {
  const Context ctx = Context::cpu(1);
  std::array<float, 4> four{};
  std::array<float, 3> three{};
  EXPECT_THAT([&] { axpy(ctx, 1.0F, four, three); },
              ThrowsMessage<ShapeError>(HasSubstr("axpy: y has 3 elements, expected 4")));
  EXPECT_THAT([&] { sgd_step(ctx, {}, three, four, four); },
              ThrowsMessage<ShapeError>(HasSubstr("sgd_step: grad has 3 elements, expected 4")));
  EXPECT_THAT([&] { sgd_step(ctx, {}, four, three, four); },
              ThrowsMessage<ShapeError>(HasSubstr("sgd_step: momentum_buffer has 3")));
  EXPECT_THAT([&] { adam_step(ctx, {}, three, four, four, four); },
              ThrowsMessage<ShapeError>(HasSubstr("adam_step: grad has 3")));
  EXPECT_THAT([&] { adam_step(ctx, {}, four, three, four, four); },
              ThrowsMessage<ShapeError>(HasSubstr("adam_step: m has 3")));
  EXPECT_THAT([&] { adam_step(ctx, {}, four, four, three, four); },
              ThrowsMessage<ShapeError>(HasSubstr("adam_step: v has 3")));
  EXPECT_THAT([&] { adam_step(ctx, AdamStep{.t = 0}, four, four, four, four); },
              ThrowsMessage<ConfigError>(HasSubstr("adam_step: t is 0, expected at least 1")));
}

}  // namespace
}  // namespace dnas::kernels
