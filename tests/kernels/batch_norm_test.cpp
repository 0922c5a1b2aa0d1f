#include "dnas/kernels/batch_norm.hpp"

#include "reference/batch_norm_ref.hpp"
#include "support/tensors.hpp"
#include "support/workspace.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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

// f32 parameters and one f32 multiply-add per element; sums are f64 over runs of at most 128.
constexpr double tolerance = 3e-6;

/// Everything a training step of one layer touches. Channels have different means and deviations.
struct Layer {
  explicit Layer(const Shape& s, Gap g = {})
      : shape(s),
        gap(g),
        channels{s[-1]},
        x(Tensor::random(s, 1, g)),
        dy(Tensor::random(s, 2, g)),
        gamma(Tensor::random(channels, 3)),
        beta(Tensor::random(channels, 4)) {
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<float>(i % s[-1]);
      x[i] = x[i] * (0.1F + 0.3F * c) + 2.0F * c - 3.0F;
    }
  }

  void forward(const Context& ctx, const Tensor& to) {
    batch_norm_forward(ctx, bn, x.view(), gamma.view(), beta.view(), running_mean.view(), running_var.view(), to.view(),
                       mean.view(), rstd.view(), workspace.span());
  }
  void backward(const Context& ctx, const Tensor& to, Write write = Write::overwrite) {
    batch_norm_backward(ctx, x.view(), gamma.view(), mean.view(), rstd.view(), dy.view(), to.view(), write,
                        dgamma.view(), dbeta.view(), workspace.span());
  }
  /// Of every channel others, none those of x.
  void set_running_statistics() {
    running_mean = Tensor::random(channels, 5);
    running_var = Tensor::random(channels, 6);
    for (std::int64_t c = 0; c < running_var.size(); ++c)
      running_var[c] += 1.25F;
  }
  [[nodiscard]] reference::BatchStatistics running() const { return {running_mean.doubles(), running_var.doubles()}; }
  void inference_backward(const Context& ctx, const Tensor& to, Write write = Write::overwrite) {
    batch_norm_inference_backward(ctx, bn, x.view(), gamma.view(), running_mean.view(), running_var.view(), dy.view(),
                                  to.view(), write, dgamma.view(), dbeta.view(), workspace.span());
  }
  [[nodiscard]] reference::BatchStatistics statistics() const {
    return reference::batch_statistics(x.doubles(), static_cast<std::size_t>(shape[-1]));
  }
  [[nodiscard]] std::vector<double> expected_y() const {
    return reference::batch_norm(x.doubles(), statistics(), gamma.doubles(), beta.doubles(), epsilon());
  }
  [[nodiscard]] reference::BatchNormGradients expected_gradients() const {
    return reference::batch_norm_gradients(x.doubles(), gamma.doubles(), epsilon(), dy.doubles());
  }
  [[nodiscard]] double epsilon() const { return bn.epsilon; }

  Shape shape;
  Gap gap;
  Shape channels;
  BatchNorm bn;
  Tensor x, dy, gamma, beta;
  Tensor running_mean = Tensor::filled(channels, 0.5F);
  Tensor running_var = Tensor::filled(channels, 2.0F);
  Tensor y{shape, gap}, dx{shape, gap};
  Tensor mean{channels}, rstd{channels}, dgamma{channels}, dbeta{channels};
  Workspace workspace{batch_norm_workspace(shape)};
};

struct Case {
  Shape shape;
  Gap gap;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " between gaps of " << c.gap.before << " and " << c.gap.after;
}

/// Channels that divide a vector, that do not, that exceed it; one pixel, ragged ends, several pieces; slices.
class BatchNormShapes : public ::testing::TestWithParam<Case> {
 protected:
  Context ctx = Context::cpu(2);
  Layer layer{GetParam().shape, GetParam().gap};
};

TEST_P(BatchNormShapes, ForwardMatchesReference) {
  layer.forward(ctx, layer.y);
  EXPECT_LE(max_relative_error(layer.y, layer.expected_y()), tolerance);
  EXPECT_TRUE(layer.y.gaps_untouched());
  const auto expected = layer.statistics();
  EXPECT_LE(max_relative_error(layer.mean, expected.mean), tolerance);
  for (std::int64_t c = 0; c < layer.rstd.size(); ++c) {
    const double rstd = 1.0 / std::sqrt(expected.variance[static_cast<std::size_t>(c)] + layer.epsilon());
    EXPECT_NEAR(layer.rstd[c], rstd, tolerance * rstd) << "channel " << c;
  }
}

TEST_P(BatchNormShapes, RunningStatisticsMoveByMomentum) {
  layer.forward(ctx, layer.y);
  const auto batch = layer.statistics();
  const auto pixels = static_cast<double>(layer.x.size() / layer.shape[-1]);
  const double momentum = layer.bn.momentum;
  for (std::int64_t c = 0; c < layer.mean.size(); ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double unbiased = pixels > 1.0 ? batch.variance[i] * pixels / (pixels - 1.0) : batch.variance[i];
    const double mean = (1.0 - momentum) * 0.5 + momentum * batch.mean[i];
    const double var = (1.0 - momentum) * 2.0 + momentum * unbiased;
    EXPECT_NEAR(layer.running_mean[c], mean, tolerance * (1.0 + std::abs(mean)));
    EXPECT_NEAR(layer.running_var[c], var, tolerance * var);
  }
}

TEST_P(BatchNormShapes, ForwardMayReplaceItsInput) {
  const auto expected = layer.expected_y();
  layer.forward(ctx, layer.x);
  EXPECT_LE(max_relative_error(layer.x, expected), tolerance);
  EXPECT_TRUE(layer.x.gaps_untouched());
}

TEST_P(BatchNormShapes, BackwardMatchesReference) {
  layer.forward(ctx, layer.y);
  layer.backward(ctx, layer.dx);
  const auto expected = layer.expected_gradients();
  // One or two pixels: the terms cancel to almost 0, which is no scale for an error.
  if (layer.x.size() > 2 * layer.shape[-1]) {
    EXPECT_LE(max_relative_error(layer.dx, expected.x), 2e-5);
    EXPECT_LE(max_relative_error(layer.dgamma, expected.gamma), 2e-5);
  } else {
    for (std::int64_t i = 0; i < layer.dx.size(); ++i) {
      EXPECT_NEAR(layer.dx[i], expected.x[static_cast<std::size_t>(i)], 1e-4);
    }
  }
  EXPECT_LE(max_relative_error(layer.dbeta, expected.beta), tolerance);
  EXPECT_TRUE(layer.dx.gaps_untouched());
}

TEST_P(BatchNormShapes, BackwardAccumulatesOnRequest) {
  layer.forward(ctx, layer.y);
  layer.backward(ctx, layer.dx);
  Tensor twice = Tensor::filled(layer.shape, 1.0F, layer.gap);
  layer.backward(ctx, twice, Write::accumulate);
  std::vector<double> expected = layer.dx.doubles();
  for (double& v : expected)
    v += 1.0;
  EXPECT_LE(max_relative_error(twice, expected), 1e-6);
  EXPECT_TRUE(twice.gaps_untouched());
}

TEST_P(BatchNormShapes, BackwardMayReplaceTheOutputGradient) {
  layer.forward(ctx, layer.y);
  layer.backward(ctx, layer.dx);
  layer.backward(ctx, layer.dy);
  EXPECT_TRUE(layer.dy.same_bits(layer.dx));
}

TEST_P(BatchNormShapes, InferenceMatchesReference) {
  batch_norm_inference(ctx, layer.bn, layer.x.view(), layer.gamma.view(), layer.beta.view(), layer.running_mean.view(),
                       layer.running_var.view(), layer.y.view());
  const reference::BatchStatistics running{layer.running_mean.doubles(), layer.running_var.doubles()};
  const auto expected =
      reference::batch_norm(layer.x.doubles(), running, layer.gamma.doubles(), layer.beta.doubles(), layer.epsilon());
  EXPECT_LE(max_relative_error(layer.y, expected), tolerance);
  EXPECT_TRUE(layer.y.gaps_untouched());
}

TEST_P(BatchNormShapes, InferenceGradientMatchesReference) {
  layer.set_running_statistics();
  layer.inference_backward(ctx, layer.dx);
  const auto expected = reference::batch_norm_inference_gradients(
      layer.x.doubles(), layer.running(), layer.gamma.doubles(), layer.epsilon(), layer.dy.doubles());
  EXPECT_LE(max_relative_error(layer.dx, expected.x), tolerance);
  EXPECT_LE(max_relative_error(layer.dgamma, expected.gamma), tolerance);
  EXPECT_LE(max_relative_error(layer.dbeta, expected.beta), tolerance);
  EXPECT_TRUE(layer.dx.gaps_untouched());
}

TEST_P(BatchNormShapes, InferenceGradientAccumulatesAndMayReplaceTheOutputGradient) {
  layer.set_running_statistics();
  layer.inference_backward(ctx, layer.dx);
  Tensor twice = Tensor::filled(layer.shape, 1.0F, layer.gap);
  layer.inference_backward(ctx, twice, Write::accumulate);
  std::vector<double> expected = layer.dx.doubles();
  for (double& v : expected)
    v += 1.0;
  EXPECT_LE(max_relative_error(twice, expected), 1e-6);
  EXPECT_TRUE(twice.gaps_untouched());
  layer.inference_backward(ctx, layer.dy);
  EXPECT_TRUE(layer.dy.same_bits(layer.dx));
}

TEST_P(BatchNormShapes, ThreadsDoNotChangeABitOfTheInferenceGradient) {
  Layer one{GetParam().shape, GetParam().gap};
  one.set_running_statistics();
  one.inference_backward(Context::cpu(1), one.dx);
  for (const int threads : {2, 3}) {
    Layer many{GetParam().shape, GetParam().gap};
    many.set_running_statistics();
    many.inference_backward(Context::cpu(threads), many.dx);
    EXPECT_TRUE(many.dx.same_bits(one.dx) && many.dgamma.same_bits(one.dgamma) && many.dbeta.same_bits(one.dbeta));
  }
}

TEST_P(BatchNormShapes, ThreadsDoNotChangeABit) {
  Layer one{GetParam().shape, GetParam().gap};
  one.forward(Context::cpu(1), one.y);
  one.backward(Context::cpu(1), one.dx);
  for (const int threads : {2, 3}) {
    Layer many{GetParam().shape, GetParam().gap};
    many.forward(Context::cpu(threads), many.y);
    many.backward(Context::cpu(threads), many.dx);
    EXPECT_TRUE(many.y.same_bits(one.y) && many.mean.same_bits(one.mean) && many.rstd.same_bits(one.rstd));
    EXPECT_TRUE(many.running_mean.same_bits(one.running_mean) && many.running_var.same_bits(one.running_var));
    EXPECT_TRUE(many.dx.same_bits(one.dx) && many.dgamma.same_bits(one.dgamma) && many.dbeta.same_bits(one.dbeta));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormShapes,
                         ::testing::Values(Case{{1, 1, 1, 1}, {}}, Case{{1, 1, 1, 20}, {}}, Case{{1, 1, 2, 5}, {}},
                                           Case{{2, 3, 3, 4}, {}}, Case{{3, 5, 7, 8}, {}}, Case{{8, 16, 16, 16}, {}},
                                           Case{{4, 32, 32, 36}, {}}, Case{{2, 4, 4, 37}, {}}, Case{{2, 8, 8, 64}, {}},
                                           Case{{4, 2, 2, 256}, {}}, Case{{2, 3, 3, 131}, {}},
                                           Case{{3, 5, 5, 4}, {4, 8}}, Case{{8, 32, 32, 16}, {0, 48}},
                                           Case{{2, 9, 9, 37}, {3, 1}}, Case{{1, 1, 1, 3}, {1, 0}}));

/// Channel c has mean 1e4 * (c + 1) and deviation about 1e-2 * 2^c: of the order of f32's spacing there.
Layer layer_far_from_zero() {
  Layer layer{Shape{16, 8, 8, 4}};
  const Tensor noise = Tensor::random(layer.shape, 9);
  for (std::int64_t i = 0; i < noise.size(); ++i) {
    const auto c = static_cast<int>(i % 4);
    layer.x[i] = 1e4F * static_cast<float>(c + 1) + 1.7e-2F * std::ldexp(noise[i], c);
  }
  return layer;
}

TEST(BatchNorm, IsAccurateWhereTheMeanDwarfsTheDeviation) {
  Layer layer = layer_far_from_zero();
  layer.forward(Context::cpu(2), layer.y);
  EXPECT_LE(max_relative_error(layer.y, layer.expected_y()), 1e-5);
  const auto expected = layer.statistics();
  for (std::size_t c = 0; c < 4; ++c) {
    const double rstd = 1.0 / std::sqrt(expected.variance[c] + layer.epsilon());
    EXPECT_NEAR(layer.rstd[static_cast<std::int64_t>(c)], rstd, 1e-5 * rstd);
    EXPECT_NEAR(layer.mean[static_cast<std::int64_t>(c)], expected.mean[c], 6e-8 * expected.mean[c]);
  }
}

TEST(BatchNorm, GradientIsAccurateWhereTheMeanDwarfsTheDeviation) {
  Layer layer = layer_far_from_zero();
  layer.forward(Context::cpu(2), layer.y);
  layer.backward(Context::cpu(2), layer.dx);
  const auto expected = layer.expected_gradients();
  EXPECT_LE(max_relative_error(layer.dx, expected.x), 1e-5);
  EXPECT_LE(max_relative_error(layer.dgamma, expected.gamma), 1e-5);
}

TEST(BatchNorm, ConstantChannelGivesBetaAndFiniteGradients) {
  Layer layer{Shape{4, 8, 8, 6}};
  layer.x = Tensor::filled(layer.shape, 1234.567F);
  layer.forward(Context::cpu(2), layer.y);
  layer.backward(Context::cpu(2), layer.dx);
  const auto rstd_of_no_variance = static_cast<float>(1.0 / std::sqrt(layer.epsilon()));
  for (std::int64_t c = 0; c < 6; ++c) {
    EXPECT_EQ(layer.rstd[c], rstd_of_no_variance);
    EXPECT_EQ(layer.mean[c], 1234.567F);
    EXPECT_EQ(layer.dgamma[c], 0.0F);
  }
  for (std::int64_t i = 0; i < layer.y.size(); ++i) {
    EXPECT_EQ(layer.y[i], layer.beta[i % 6]);
    EXPECT_TRUE(std::isfinite(layer.dx[i]));
  }
}

TEST(BatchNorm, GradientMatchesDifferences) {
  // The derivative of sum(y * dy), by central differences of the double-precision forward reference.
  Layer layer{Shape{2, 2, 3, 3}};
  layer.forward(Context::cpu(1), layer.y);
  layer.backward(Context::cpu(1), layer.dx);
  const auto objective = [&](std::vector<double> x, std::vector<double> gamma) {
    const auto y =
        reference::batch_norm(x, reference::batch_statistics(x, 3), gamma, layer.beta.doubles(), layer.epsilon());
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i)
      sum += y[i] * static_cast<double>(layer.dy[static_cast<std::int64_t>(i)]);
    return sum;
  };
  constexpr double step = 1e-5;
  const auto x = layer.x.doubles();
  const auto gamma = layer.gamma.doubles();
  for (std::size_t i = 0; i < x.size(); ++i) {
    auto above = x;
    auto below = x;
    above[i] += step;
    below[i] -= step;
    const double slope = (objective(above, gamma) - objective(below, gamma)) / (2.0 * step);
    EXPECT_NEAR(layer.dx[static_cast<std::int64_t>(i)], slope, 2e-5) << "element " << i;
  }
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    auto above = gamma;
    above[c] += 1.0;  // linear in gamma
    EXPECT_NEAR(layer.dgamma[static_cast<std::int64_t>(c)], objective(x, above) - objective(x, gamma), 2e-5);
  }
}

TEST(BatchNorm, NullViewsMeanNoAffinePartAndNoRunningStatistics) {
  Layer layer{Shape{2, 4, 4, 10}};
  layer.gamma = Tensor::filled(layer.channels, 1.0F);
  layer.beta = Tensor::filled(layer.channels, 0.0F);
  layer.forward(Context::cpu(1), layer.y);
  layer.backward(Context::cpu(1), layer.dx);
  Tensor y(layer.shape);
  batch_norm_forward(Context::cpu(1), layer.bn, layer.x.view(), {}, {}, {}, {}, y.view(), layer.mean.view(),
                     layer.rstd.view(), layer.workspace.span());
  EXPECT_TRUE(y.same_bits(layer.y));
  Tensor dx(layer.shape);
  batch_norm_backward(Context::cpu(1), layer.x.view(), {}, layer.mean.view(), layer.rstd.view(), layer.dy.view(),
                      dx.view(), Write::overwrite, {}, {}, layer.workspace.span());
  EXPECT_TRUE(dx.same_bits(layer.dx));
}

TEST(BatchNorm, UnwantedGradientsAreLeftOut) {
  Layer layer{Shape{2, 4, 4, 10}};
  layer.forward(Context::cpu(1), layer.y);
  layer.backward(Context::cpu(1), layer.dx);
  Tensor dgamma(layer.channels);
  Tensor dbeta(layer.channels);
  const auto backward = [&](const TensorView& to_gamma, const TensorView& to_beta) {
    batch_norm_backward(Context::cpu(1), layer.x.view(), layer.gamma.view(), layer.mean.view(), layer.rstd.view(),
                        layer.dy.view(), {}, Write::overwrite, to_gamma, to_beta, layer.workspace.span());
  };
  backward({}, {});
  backward(dgamma.view(), {});
  backward({}, dbeta.view());
  EXPECT_TRUE(dgamma.same_bits(layer.dgamma));
  EXPECT_TRUE(dbeta.same_bits(layer.dbeta));
}

TEST(BatchNorm, UnwantedInferenceGradientsAreLeftOut) {
  Layer layer{Shape{2, 4, 4, 10}};
  layer.set_running_statistics();
  layer.inference_backward(Context::cpu(1), layer.dx);
  const Tensor dx(layer.shape);
  const Tensor dgamma(layer.channels);
  const Tensor dbeta(layer.channels);
  const auto backward = [&](const TensorView& x, const TensorView& to, const TensorView& to_gamma,
                            const TensorView& to_beta) {
    batch_norm_inference_backward(Context::cpu(1), layer.bn, x, layer.gamma.view(), layer.running_mean.view(),
                                  layer.running_var.view(), layer.dy.view(), to, Write::overwrite, to_gamma, to_beta,
                                  layer.workspace.span());
  };
  backward({}, {}, {}, {});
  backward({}, dx.view(), {}, {});  // needs no x
  backward({}, {}, {}, dbeta.view());
  backward(layer.x.view(), {}, dgamma.view(), {});
  EXPECT_TRUE(dx.same_bits(layer.dx) && dgamma.same_bits(layer.dgamma) && dbeta.same_bits(layer.dbeta));
}

TEST(BatchNorm, InferenceGradientWithoutAffinePartHasScaleOne) {
  Layer layer{Shape{2, 4, 4, 10}};
  layer.set_running_statistics();
  layer.gamma = Tensor::filled(layer.channels, 1.0F);
  layer.inference_backward(Context::cpu(1), layer.dx);
  const Tensor dx(layer.shape);
  batch_norm_inference_backward(Context::cpu(1), layer.bn, {}, {}, layer.running_mean.view(), layer.running_var.view(),
                                layer.dy.view(), dx.view(), Write::overwrite, {}, {}, layer.workspace.span());
  EXPECT_TRUE(dx.same_bits(layer.dx));
}

TEST(BatchNorm, InferenceTakesMoreChannelsThanFitOnItsStack) {
  Layer layer{Shape{1, 2, 2, 1301}};
  batch_norm_inference(Context::cpu(2), layer.bn, layer.x.view(), {}, {}, layer.running_mean.view(),
                       layer.running_var.view(), layer.x.view());
  const Layer fresh{layer.shape};
  const reference::BatchStatistics running{layer.running_mean.doubles(), layer.running_var.doubles()};
  const std::vector<double> ones(1301, 1.0);
  const std::vector<double> zeros(1301, 0.0);
  EXPECT_LE(
      max_relative_error(layer.x, reference::batch_norm(fresh.x.doubles(), running, ones, zeros, fresh.epsilon())),
      tolerance);
}

}  // namespace
}  // namespace dnas::kernels
