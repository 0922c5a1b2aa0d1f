#include "dnas/kernels/normalisation.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/batch_norm_ref.hpp"
#include "reference/normalisation_ref.hpp"
#include "support/tensors.hpp"
#include "support/workspace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;
using test::Workspace;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Sums are f64 over runs of at most 128; results are rounded to f32.
constexpr double tolerance = 3e-6;

struct Case {
  Shape shape;
  Gap gap;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " between gaps of " << c.gap.before << " and " << c.gap.after;
}

const std::vector<Case> cases{{{1, 1, 1, 1}, {}},       {{1, 1, 1, 20}, {}},         {{1, 1, 2, 5}, {}},
                              {{2, 3, 3, 4}, {}},       {{3, 5, 7, 8}, {}},          {{2, 65, 67, 3}, {}},
                              {{5, 40, 40, 12}, {}},    {{8, 16, 16, 16}, {}},       {{4, 32, 32, 36}, {}},
                              {{2, 4, 4, 37}, {}},      {{2, 8, 8, 64}, {}},         {{4, 2, 2, 256}, {}},
                              {{2, 3, 3, 131}, {}},     {{1, 1, 1, 1301}, {}},       {{9, 128, 128, 1}, {}},
                              {{3, 5, 5, 4}, {4, 8}},   {{8, 32, 32, 16}, {0, 48}},  {{2, 9, 9, 37}, {3, 1}},
                              {{3, 64, 64, 1}, {1, 2}}, {{2, 40, 40, 20}, {16, 28}}, {{1, 1, 1, 3}, {1, 0}}};

/// Channels have different means and deviations.
Tensor images(const Shape& shape, std::uint64_t seed, Gap gap) {
  Tensor x = Tensor::random(shape, seed, gap);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const auto c = static_cast<float>(i % shape[-1] % 64);
    x[i] = x[i] * (0.1F + 0.3F * c) + 2.0F * c - 3.0F;
  }
  return x;
}

// ---- statistics

/// Everything that batch_statistics writes.
struct Statistics {
  explicit Statistics(std::int64_t c) : channels(c) {}

  void of(const Context& ctx, const Tensor& x) {
    Workspace workspace(batch_statistics_workspace(x.shape()));
    const std::array running{RunningStatistics{mean.view(), var.view()}, RunningStatistics{},
                             RunningStatistics{other_mean.view(), other_var.view()}};
    batch_statistics(ctx, bn, x.view(), running, normalisation.view(), workspace.span());
  }
  [[nodiscard]] bool same_bits(const Statistics& o) const {
    return normalisation.same_bits(o.normalisation) && mean.same_bits(o.mean) && var.same_bits(o.var) &&
           other_mean.same_bits(o.other_mean) && other_var.same_bits(o.other_var);
  }

  std::int64_t channels;
  BatchNorm bn;
  Tensor normalisation{Shape{normalisation_rows, channels}};
  Tensor mean = Tensor::filled(Shape{channels}, 0.5F), var = Tensor::filled(Shape{channels}, 2.0F);
  Tensor other_mean = Tensor::filled(Shape{channels}, -3.0F), other_var = Tensor::filled(Shape{channels}, 0.0F);
};

/// How far `x` is from `expected` in units of f32's spacing there.
double spacings(float x, float expected) {
  const double unit = std::nextafter(std::abs(expected), std::numeric_limits<float>::infinity()) - std::abs(expected);
  return std::abs(static_cast<double>(x) - static_cast<double>(expected)) / unit;
}

class BatchStatistics : public ::testing::TestWithParam<Case> {
 protected:
  Tensor x = images(GetParam().shape, 1, GetParam().gap);
  std::int64_t channels = x.shape()[-1];
};

TEST_P(BatchStatistics, MatchReference) {
  Statistics s(channels);
  s.of(Context::cpu(2), x);
  const auto expected = reference::batch_statistics(x.doubles(), static_cast<std::size_t>(channels));
  const auto pixels = static_cast<double>(x.view().pixels());
  const double momentum = s.bn.momentum;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double mean = expected.mean[static_cast<std::size_t>(c)];
    const double variance = expected.variance[static_cast<std::size_t>(c)];
    const double unbiased = pixels > 1.0 ? variance * pixels / (pixels - 1.0) : variance;
    const double rstd = 1.0 / std::sqrt(variance + static_cast<double>(s.bn.epsilon));
    EXPECT_NEAR(s.normalisation[c], mean, 1e-7 * (1.0 + std::abs(mean))) << "channel " << c;
    EXPECT_NEAR(s.normalisation[channels + c], rstd, tolerance * rstd) << "channel " << c;
    EXPECT_NEAR(s.mean[c], (1.0 - momentum) * 0.5 + momentum * mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(s.var[c], (1.0 - momentum) * 2.0 + momentum * unbiased, tolerance * (1.0 + unbiased));
    EXPECT_NEAR(s.other_mean[c], (1.0 - momentum) * -3.0 + momentum * mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(s.other_var[c], momentum * unbiased, tolerance * momentum * unbiased);
  }
}

TEST_P(BatchStatistics, AreThoseOfBatchNorm) {
  // The same moments by another route: pieces with shifts of their own instead of one shift for all.
  Statistics s(channels);
  s.of(Context::cpu(2), x);
  Tensor y(x.shape());
  Tensor mean(Shape{channels});
  Tensor rstd(Shape{channels});
  Tensor running_mean = Tensor::filled(Shape{channels}, 0.5F);
  Tensor running_var = Tensor::filled(Shape{channels}, 2.0F);
  Workspace workspace(batch_norm_workspace(x.shape()));
  batch_norm_forward(Context::cpu(2), s.bn, x.view(), {}, {}, running_mean.view(), running_var.view(), y.view(),
                     mean.view(), rstd.view(), workspace.span());
  for (std::int64_t c = 0; c < channels; ++c) {
    // A mean near 0 is a difference of large numbers: there the deviation is the scale.
    EXPECT_NEAR(s.normalisation[c], mean[c], 2e-7 * (std::abs(mean[c]) + 1.0F / rstd[c])) << "channel " << c;
    EXPECT_LE(spacings(s.normalisation[channels + c], rstd[c]), 8.0) << "channel " << c;
    EXPECT_NEAR(s.mean[c], running_mean[c], 2e-7 * (1.0F + std::abs(running_mean[c]))) << "channel " << c;
    EXPECT_LE(spacings(s.var[c], running_var[c]), 8.0) << "channel " << c;
  }
}

TEST_P(BatchStatistics, ThreadsDoNotChangeABit) {
  Statistics one(channels);
  one.of(Context::cpu(1), x);
  for (const int threads : {2, 3}) {
    Statistics many(channels);
    many.of(Context::cpu(threads), x);
    EXPECT_TRUE(many.same_bits(one));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchStatistics, ::testing::ValuesIn(cases));

TEST(BatchStatisticsOp, AreAccurateWhereTheMeanDwarfsTheDeviation) {
  // Deviations of about 1 at means of 1000 * (c + 1), whose f32 spacing is 6e-5 and more.
  Tensor x = Tensor::random(Shape{16, 24, 24, 5}, 9);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = 1.7F * x[i] + 1000.0F * static_cast<float>(i % 5 + 1);
  Statistics s(5);
  s.of(Context::cpu(2), x);
  const auto expected = reference::batch_statistics(x.doubles(), 5);
  for (std::size_t c = 0; c < 5; ++c) {
    const double rstd = 1.0 / std::sqrt(expected.variance[c] + static_cast<double>(s.bn.epsilon));
    const auto i = static_cast<std::int64_t>(c);
    EXPECT_NEAR(s.normalisation[i], expected.mean[c], 6e-8 * expected.mean[c]);  // half a spacing
    EXPECT_NEAR(s.normalisation[5 + i], rstd, tolerance * rstd);
  }
}

TEST(BatchStatisticsOp, ConstantChannelsHaveNoVariance) {
  const Tensor x = Tensor::filled(Shape{4, 33, 31, 6}, 1234.567F);
  Statistics s(6);
  s.of(Context::cpu(2), x);
  for (std::int64_t c = 0; c < 6; ++c) {
    EXPECT_EQ(s.normalisation[c], 1234.567F);
    EXPECT_EQ(s.normalisation[6 + c], static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.bn.epsilon))));
    EXPECT_EQ(s.other_var[c], 0.0F);
  }
}

TEST(BatchStatisticsOp, NanStaysNan) {
  Tensor x = Tensor::random(Shape{2, 4, 4, 3}, 1);
  x[3 * 7 + 1] = std::numeric_limits<float>::quiet_NaN();
  Statistics s(3);
  s.of(Context::cpu(1), x);
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(std::isnan(s.normalisation[c]), c == 1);
    EXPECT_EQ(std::isnan(s.normalisation[3 + c]), c == 1);
    EXPECT_EQ(std::isnan(s.var[c]), c == 1);
  }
}

TEST(BatchStatisticsOp, RefuseBadArguments) {
  const Context ctx = Context::cpu(1);
  const Tensor x(Shape{2, 3, 3, 4});
  const Tensor matrix(Shape{18, 4});
  const Tensor channel(Shape{4});
  const Tensor vector(Shape{3});
  const Tensor normalisation(Shape{2, 4});
  Workspace workspace(batch_statistics_workspace(x.shape()));
  const auto call = [&](const TensorView& in, const RunningStatistics& running, const TensorView& out) {
    batch_statistics(ctx, {}, in, std::array{RunningStatistics{}, running}, out, workspace.span());
  };
  EXPECT_NO_THROW(call(x.view(), {channel.view(), channel.view()}, normalisation.view()));
  EXPECT_THAT([&] { call(matrix.view(), {}, normalisation.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: x is [18, 4], expected a tensor of rank 4")));
  EXPECT_THAT(
      [&] {
        call(TensorView(x.view().data, Shape{0, 3, 3, 4}), {}, normalisation.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: x is [0, 3, 3, 4], expected at least one")));
  EXPECT_THAT([&] { call(TensorView(x.view().data, x.shape(), DType::i32), {}, normalisation.view()); },
              ThrowsMessage<DtypeError>(HasSubstr("batch_statistics: x is i32, expected f32")));
  EXPECT_THAT(
      [&] {
        call(x.view(), {vector.view(), channel.view()}, normalisation.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: running.mean[1] is [3], expected [4]")));
  EXPECT_THAT(
      [&] {
        call(x.view(), {channel.view(), {}}, normalisation.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: running.var[1] has no data")));
  EXPECT_THAT(
      [&] {
        call(x.view(), {{}, channel.view()}, normalisation.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: running.mean[1] has no data")));
  EXPECT_THAT([&] { call(x.view(), {}, channel.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: normalisation is [4], expected [2, 4]")));
  const std::span<std::byte> small = workspace.span().first(workspace.span().size() - 1);
  EXPECT_THAT([&] { batch_statistics(ctx, {}, x.view(), {}, normalisation.view(), small); },
              ThrowsMessage<ShapeError>(HasSubstr("batch_statistics: workspace has")));
}

// ---- gradients

/// `terms` gradients of one x, whose [4, C] have nothing to do with each other.
struct Gradients {
  Gradients(const Case& c, std::size_t terms) : x(images(c.shape, 1, c.gap)) {
    for (std::size_t e = 0; e < terms; ++e) {
      // Of different strides where x is a slice.
      g.push_back(Tensor::random(c.shape, 20 + e, e % 2 == 0 ? c.gap : Gap{c.gap.after, c.gap.after}));
      of.push_back(Tensor::random(Shape{normalisation_gradient_rows, c.shape[-1]}, 40 + e));
    }
  }
  static std::vector<TensorView> views(const std::vector<Tensor>& tensors) {
    std::vector<TensorView> v;
    for (const Tensor& t : tensors)
      v.push_back(t.view());
    return v;
  }
  void run(const Context& ctx, const Tensor& dx, Write write) const {
    normalisation_backward(ctx, x.view(), views(g), views(of), dx.view(), write);
  }
  [[nodiscard]] std::vector<double> expected(double before) const {
    std::vector<double> dx(static_cast<std::size_t>(x.size()), before);
    const auto channels = static_cast<std::size_t>(x.shape()[-1]);
    for (std::size_t e = 0; e < g.size(); ++e) {
      const std::vector<double> rows = of[e].doubles();
      const auto row = [&](std::size_t r) {
        const double* first = rows.data() + r * channels;
        return std::vector<double>(first, first + channels);
      };
      reference::add_data_gradient(x.doubles(), g[e].doubles(), {row(0), row(1), row(2), row(3)}, dx);
    }
    return dx;
  }

  Tensor x;
  std::vector<Tensor> g;
  std::vector<Tensor> of;
};

class NormalisationBackward : public ::testing::TestWithParam<Case> {
 protected:
  Gap gap = GetParam().gap;
};

TEST_P(NormalisationBackward, OverwritesAndAccumulates) {
  // Fewer terms than are fused, one and several groups, the most there may be on few pixels.
  for (const std::size_t terms : {1, 2, 3, 4, 7, 9}) {
    const Gradients s(GetParam(), terms);
    Tensor dx(GetParam().shape, gap);
    s.run(Context::cpu(2), dx, Write::overwrite);
    EXPECT_LE(max_relative_error(dx, s.expected(0.0)), tolerance) << terms << " terms";
    EXPECT_TRUE(dx.gaps_untouched());
    Tensor sum = Tensor::filled(GetParam().shape, 2.0F, gap);
    s.run(Context::cpu(2), sum, Write::accumulate);
    EXPECT_LE(max_relative_error(sum, s.expected(2.0)), tolerance) << terms << " terms";
    EXPECT_TRUE(sum.gaps_untouched());
  }
}

TEST_P(NormalisationBackward, MayReplaceWhatItReads) {
  for (const std::size_t terms : {2, 9}) {
    Gradients s(GetParam(), terms);
    const std::vector<double> expected = s.expected(0.0);
    Tensor dx(GetParam().shape, gap);
    s.run(Context::cpu(2), dx, Write::overwrite);
    for (const std::size_t e : {std::size_t{0}, terms - 1}) {
      const Gradients other(GetParam(), terms);
      other.run(Context::cpu(2), other.g[e], Write::overwrite);
      EXPECT_LE(max_relative_error(other.g[e], expected), tolerance) << "term " << e;
      EXPECT_TRUE(other.g[e].gaps_untouched());
    }
    s.run(Context::cpu(2), s.x, Write::overwrite);
    EXPECT_TRUE(s.x.same_bits(dx));
  }
}

TEST_P(NormalisationBackward, ThreadsDoNotChangeABit) {
  const Gradients s(GetParam(), 5);
  const auto dx = [&](int threads) {
    Tensor sum = Tensor::filled(GetParam().shape, 1.0F, gap);
    s.run(Context::cpu(threads), sum, Write::accumulate);
    return sum;
  };
  const Tensor one = dx(1);
  for (const int threads : {2, 3})
    EXPECT_TRUE(dx(threads).same_bits(one));
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormalisationBackward, ::testing::ValuesIn(cases));

TEST(NormalisationBackwardOp, TakesTheMostTermsAndChannels) {
  const Case c{Shape{2, 2, 3, 331}, {}};
  const Gradients s(c, max_normalisation_gradients);
  Tensor dx(c.shape);
  s.run(Context::cpu(2), dx, Write::overwrite);
  EXPECT_LE(max_relative_error(dx, s.expected(0.0)), tolerance);
}

TEST(NormalisationBackwardOp, IsAccurateWhereTheMeanDwarfsTheDeviation) {
  Gradients s({Shape{4, 8, 8, 12}, {}}, 3);
  for (std::int64_t i = 0; i < s.x.size(); ++i)
    s.x[i] = 1000.0F + s.g[0][i];
  for (std::size_t e = 0; e < 3; ++e)
    for (std::int64_t c = 0; c < 12; ++c)
      s.of[e][centre_row * 12 + c] = 1000.0F + 0.25F * static_cast<float>(e);
  Tensor dx(s.x.shape());
  s.run(Context::cpu(1), dx, Write::overwrite);
  EXPECT_LE(max_relative_error(dx, s.expected(0.0)), tolerance);
}

TEST(NormalisationBackwardOp, RefusesBadArguments) {
  const Tensor x(Shape{2, 3, 3, 4});
  const Tensor other(Shape{2, 3, 3, 5});
  const Tensor gradient(Shape{4, 4});
  const Tensor normalisation(Shape{2, 4});
  const auto call = [&](std::span<const TensorView> g, std::span<const TensorView> of, const TensorView& dx) {
    normalisation_backward(Context::cpu(1), x.view(), g, of, dx, Write::overwrite);
  };
  const std::array g{x.view(), x.view()};
  const std::array of{gradient.view(), gradient.view()};
  const std::vector<TensorView> many(max_normalisation_gradients + 1, x.view());
  EXPECT_NO_THROW(call(g, of, x.view()));
  EXPECT_THAT([&] { call({}, {}, x.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("normalisation_backward: there are 0 terms, expected 1 to 64")));
  EXPECT_THAT([&] { call(many, many, x.view()); }, ThrowsMessage<ShapeError>(HasSubstr("there are 65 terms")));
  EXPECT_THAT([&] { call(g, std::array{gradient.view()}, x.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("normalisation_backward: gradients has 1 entries, expected 2")));
  EXPECT_THAT(
      [&] {
        call(std::array{x.view(), other.view()}, of, x.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("normalisation_backward: g[1] is [2, 3, 3, 5], expected")));
  EXPECT_THAT(
      [&] {
        call(g, std::array{gradient.view(), normalisation.view()}, x.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("normalisation_backward: gradients[1] is [2, 4], expected [4, 4]")));
  EXPECT_THAT([&] { call(g, of, other.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("normalisation_backward: dx is [2, 3, 3, 5]")));
  EXPECT_THAT([&] { call(g, of, TensorView(x.view().data, x.shape(), DType::i32)); },
              ThrowsMessage<DtypeError>(HasSubstr("normalisation_backward: dx is i32, expected f32")));
}

}  // namespace
}  // namespace dnas::kernels
