#include "dnas/kernels/node_reduction.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/batch_norm_ref.hpp"
#include "reference/node_reduction_ref.hpp"
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

// At most 20 rounded f32 multiply-adds per element; sums are f64 over runs of at most 128.
constexpr double tolerance = 3e-6;

enum class Slices { none, node, all };

struct Case {
  Shape shape;
  std::size_t terms;
  Slices slices;
};

void PrintTo(const Case& c, std::ostream* os) {
  constexpr std::array names{"dense", "a sliced node of", "sliced"};
  *os << c.terms << " " << names[static_cast<std::size_t>(c.slices)] << " terms " << c.shape.to_string();
}

/// K terms, every third of which is not normalised. Their weights lie anywhere in a matrix of weights, in descending
/// order; two share one.
struct Node {
  explicit Node(const Case& c) : shape(c.shape), terms(c.terms) {
    const std::int64_t channels = shape[-1];
    for (std::size_t k = 0; k < terms; ++k) {
      const auto n = static_cast<std::int64_t>(k);
      // Of different strides, and one of them dense.
      const Gap around = c.slices == Slices::all && k % 3 != 1 ? Gap{n % 3, 1 + n % 5} : Gap{};
      x.push_back(Tensor::random(shape, 10 + k, around));
      statistics.push_back(Tensor::random(Shape{normalisation_rows, channels}, 100 + k));
      for (std::int64_t i = 0; i < channels; ++i)
        statistics[k][rstd_row * channels + i] += 1.5F;
      gradients.push_back(Tensor(Shape{normalisation_gradient_rows, channels}));
      const std::int64_t position = k == 1 ? w.size() - 1 : w.size() - 1 - 2 * n;
      term.push_back(
          {x[k].view(), normalised(k) ? statistics[k].view() : TensorView{}, static_cast<std::int32_t>(position)});
    }
    if (c.slices != Slices::none) gap = {4, 3};
    g = Tensor::random(shape, 7, gap);
    for (std::int64_t i = 0; i < g.size(); ++i)
      g[i] += 0.25F;  // so that sums of g do not cancel
  }
  static bool normalised(std::size_t k) { return k % 3 != 2; }

  [[nodiscard]] std::vector<reference::ReductionTerm> expected_terms() const {
    std::vector<reference::ReductionTerm> r;
    for (std::size_t k = 0; k < terms; ++k) {
      r.push_back({x[k].doubles(), {}, w[term[k].weight]});
      if (normalised(k)) r.back().normalisation = normalisation(k);
    }
    return r;
  }
  [[nodiscard]] reference::Normalisation normalisation(std::size_t k) const {
    const std::vector<double> rows = statistics[k].doubles();
    const auto half = rows.begin() + shape[-1];
    return {{rows.begin(), half}, {half, rows.end()}};
  }
  [[nodiscard]] std::vector<TensorView> gradient_views() const {
    std::vector<TensorView> views;
    for (std::size_t k = 0; k < terms; ++k)
      views.push_back(normalised(k) ? gradients[k].view() : TensorView{});
    return views;
  }
  void backward(const Context& ctx, const ReductionGradients& wanted) const {
    Workspace workspace(node_reduction_backward_workspace(shape, terms));
    node_reduction_backward(ctx, term, w.view(), g.view(), wanted, workspace.span());
  }
  [[nodiscard]] std::vector<double> expected_dw(double before) const {
    std::vector<double> dw(static_cast<std::size_t>(w.size()), before);
    const auto expected = expected_terms();
    for (std::size_t k = 0; k < terms; ++k) {
      dw[static_cast<std::size_t>(term[k].weight)] += reference::mixing_gradient(expected[k], g.doubles());
    }
    return dw;
  }
  void expect_gradient(std::size_t k) const {
    const auto expected =
        reference::normalisation_gradient(x[k].doubles(), normalisation(k), w[term[k].weight], g.doubles());
    const std::int64_t channels = shape[-1];
    const std::array rows{&expected.scale, &expected.slope, &expected.mean, &expected.offset};
    for (std::int64_t r = 0; r < normalisation_gradient_rows; ++r) {
      Tensor row(Shape{channels});
      for (std::int64_t c = 0; c < channels; ++c)
        row[c] = gradients[k][r * channels + c];
      EXPECT_LE(max_relative_error(row, *rows[static_cast<std::size_t>(r)]), tolerance) << "term " << k << " row " << r;
    }
  }

  Shape shape;
  std::size_t terms;
  Gap gap;
  std::vector<Tensor> x;
  std::vector<Tensor> statistics;
  std::vector<Tensor> gradients;
  std::vector<ReductionTerm> term;
  Tensor w = Tensor::random(Shape{10, 8}, 3);
  Tensor g{Shape{}};
};

/// Fewer and more terms than are fused, ragged ends, several pieces, terms of different strides.
class NodeReduction : public ::testing::TestWithParam<Case> {
 protected:
  Node node{GetParam()};
  Context ctx = Context::cpu(2);
};

TEST_P(NodeReduction, ForwardMatchesReference) {
  Tensor y(node.shape, node.gap);
  node_reduction_forward(ctx, node.term, node.w.view(), y.view());
  EXPECT_LE(max_relative_error(y, reference::node_reduction(node.expected_terms())), tolerance);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(NodeReduction, MixingGradientAddsToItsPositionsOnly) {
  const Tensor dw = Tensor::filled(node.w.shape(), 0.25F);
  node.backward(ctx, {dw.view(), {}});
  EXPECT_LE(max_relative_error(dw, node.expected_dw(0.25)), tolerance);
  for (std::int64_t i = 0; i < dw.size(); ++i) {
    const bool named = std::ranges::any_of(node.term, [&](const ReductionTerm& t) { return t.weight == i; });
    EXPECT_EQ(dw[i] != 0.25F, named) << "position " << i;
  }
}

TEST_P(NodeReduction, NormalisationGradientsMatchReference) {
  node.backward(ctx, {{}, node.gradient_views()});
  for (std::size_t k = 0; k < node.terms; ++k)
    if (Node::normalised(k)) node.expect_gradient(k);
}

TEST_P(NodeReduction, WhatIsNotWantedChangesNothing) {
  const Tensor dw = Tensor::filled(node.w.shape(), 0.0F);
  node.backward(ctx, {dw.view(), node.gradient_views()});
  EXPECT_LE(max_relative_error(dw, node.expected_dw(0.0)), tolerance);
  // Every second normalisation gradient alone: the same bits, and the others untouched.
  const Node fresh(GetParam());
  std::vector<TensorView> some = fresh.gradient_views();
  for (std::size_t k = 0; k < some.size(); k += 2)
    some[k] = {};
  fresh.backward(ctx, {{}, some});
  const Tensor untouched(fresh.gradients[0].shape());
  for (std::size_t k = 0; k < some.size(); ++k)
    EXPECT_TRUE(fresh.gradients[k].same_bits(some[k] ? node.gradients[k] : untouched)) << "term " << k;
}

TEST_P(NodeReduction, ThreadsDoNotChangeABit) {
  const auto forward = [&](int threads) {
    Tensor y(node.shape, node.gap);
    node_reduction_forward(Context::cpu(threads), node.term, node.w.view(), y.view());
    return y;
  };
  const Tensor y = forward(1);
  const Tensor dw = Tensor::filled(node.w.shape(), 0.0F);
  node.backward(Context::cpu(1), {dw.view(), node.gradient_views()});
  for (const int threads : {2, 3}) {
    EXPECT_TRUE(forward(threads).same_bits(y));
    const Node other(GetParam());
    const Tensor other_dw = Tensor::filled(node.w.shape(), 0.0F);
    other.backward(Context::cpu(threads), {other_dw.view(), other.gradient_views()});
    EXPECT_TRUE(other_dw.same_bits(dw));
    for (std::size_t k = 0; k < node.terms; ++k)
      EXPECT_TRUE(other.gradients[k].same_bits(node.gradients[k]));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, NodeReduction,
    ::testing::Values(Case{{1, 1, 1, 1}, 1, Slices::none}, Case{{2, 5, 7, 3}, 3, Slices::none},
                      Case{{1, 1, 1, 20}, 5, Slices::none}, Case{{8, 64, 64, 1}, 4, Slices::none},
                      Case{{3, 50, 51, 4}, 6, Slices::none}, Case{{5, 40, 40, 8}, 9, Slices::none},
                      Case{{5, 40, 40, 12}, 2, Slices::none}, Case{{4, 32, 32, 16}, 8, Slices::none},
                      Case{{2, 33, 31, 36}, 5, Slices::none}, Case{{16, 8, 8, 64}, 14, Slices::none},
                      Case{{8, 16, 16, 20}, 20, Slices::none}, Case{{1, 1, 1, 1301}, 7, Slices::none},
                      Case{{2, 3, 3, 131}, 9, Slices::none}, Case{{2, 9, 9, 16}, 40, Slices::none},
                      // The node alone is a slice: packed, where a row of whole pixels is not too long.
                      Case{{1, 1, 1, 1}, 1, Slices::node}, Case{{3, 50, 51, 4}, 6, Slices::node},
                      Case{{8, 32, 32, 16}, 8, Slices::node}, Case{{2, 33, 31, 36}, 5, Slices::node},
                      Case{{5, 21, 13, 3}, 9, Slices::node}, Case{{2, 3, 3, 131}, 9, Slices::node},
                      Case{{2, 4, 4, 301}, 4, Slices::node}, Case{{1, 1, 1, 1}, 2, Slices::all},
                      Case{{2, 5, 7, 3}, 8, Slices::all}, Case{{8, 32, 32, 16}, 8, Slices::all},
                      Case{{2, 33, 31, 36}, 6, Slices::all}, Case{{4, 16, 16, 37}, 14, Slices::all}));

TEST(NodeReductionOp, OnePlainTermOfWeightOneIsACopy) {
  const Tensor x = Tensor::random(Shape{2, 3, 3, 5}, 1);
  const Tensor w = Tensor::filled(Shape{1}, 1.0F);
  const Tensor y(x.shape());
  node_reduction_forward(Context::cpu(1), std::array{ReductionTerm{x.view(), {}, 0}}, w.view(), y.view());
  EXPECT_TRUE(y.same_bits(x));
}

TEST(NodeReductionOp, WeightsOfZeroGiveZeros) {
  Node node({Shape{2, 9, 9, 20}, 6, Slices::none});
  node.w = Tensor::filled(node.w.shape(), 0.0F);
  Tensor y(node.shape);
  node_reduction_forward(Context::cpu(1), node.term, node.w.view(), y.view());
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_EQ(y[i], 0.0F);
  node.backward(Context::cpu(1), {{}, node.gradient_views()});
  Tensor dx(node.shape);
  normalisation_backward(Context::cpu(1), node.x[0].view(), std::array{node.g.view()},
                         std::array{node.gradients[0].view()}, dx.view(), Write::overwrite);
  for (std::int64_t i = 0; i < dx.size(); ++i)
    EXPECT_EQ(dx[i], 0.0F);
}

TEST(NodeReductionOp, TakesTheMostTermsAndChannels) {
  // Their parameters do not fit on the stack at once.
  const Shape shape{1, 2, 3, 67};
  const Tensor x = Tensor::random(shape, 1);
  const Tensor w = Tensor::random(Shape{max_reduction_terms}, 2);
  std::vector<Tensor> statistics;
  std::vector<ReductionTerm> terms;
  std::vector<double> expected(static_cast<std::size_t>(shape.elements()), 0.0);
  for (std::size_t k = 0; k < max_reduction_terms; ++k) {
    statistics.push_back(Tensor::random(Shape{normalisation_rows, 67}, 10 + k));
    terms.push_back({x.view(), statistics[k].view(), static_cast<std::int32_t>(k)});
  }
  for (std::size_t k = 0; k < max_reduction_terms; ++k) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto c = static_cast<std::int64_t>(i % 67);
      const double mean = statistics[k][c];
      const double rstd = statistics[k][67 + c];
      expected[i] += static_cast<double>(w[terms[k].weight]) * (x[static_cast<std::int64_t>(i)] - mean) * rstd;
    }
  }
  const Tensor y(shape);
  node_reduction_forward(Context::cpu(2), terms, w.view(), y.view());
  EXPECT_LE(max_relative_error(y, expected), 1e-5);  // 256 roundings
}

TEST(NodeReductionOp, MixingGradientKeepsSmallTermsAmongMany) {
  // A plain f32 sum of 2^24 ones and more stops growing; f64 over the runs does not.
  const Shape shape{1, 1025, 1024, 16};
  const Tensor ones = Tensor::filled(shape, 1.0F);
  const Tensor w = Tensor::filled(Shape{1}, 1.0F);
  const Tensor dw = Tensor::filled(Shape{1}, 0.0F);
  Workspace workspace(node_reduction_backward_workspace(shape, 1));
  node_reduction_backward(Context::cpu(2), std::array{ReductionTerm{ones.view(), {}, 0}}, w.view(), ones.view(),
                          {dw.view(), {}}, workspace.span());
  EXPECT_EQ(dw[0], 1025.0F * 1024.0F * 16.0F);
}

/// Statistics, a node, and the data gradient: together the batch norm of x, weighted.
struct WeightedNorm {
  explicit WeightedNorm(const Tensor& input) : x(input) {
    const Context ctx = Context::cpu(2);
    const std::int64_t channels = x.shape()[-1];
    Workspace for_statistics(batch_statistics_workspace(x.shape()));
    Workspace for_backward(node_reduction_backward_workspace(x.shape(), 1));
    const Tensor normalisation(Shape{normalisation_rows, channels});
    const Tensor gradient(Shape{normalisation_gradient_rows, channels});
    const std::array terms{ReductionTerm{x.view(), normalisation.view(), 0}};
    batch_statistics(ctx, bn, x.view(), {}, normalisation.view(), for_statistics.span());
    node_reduction_forward(ctx, terms, w.view(), y.view());
    node_reduction_backward(ctx, terms, w.view(), g.view(), {dw.view(), std::array{gradient.view()}},
                            for_backward.span());
    normalisation_backward(ctx, x.view(), std::array{g.view()}, std::array{gradient.view()}, dx.view(),
                           Write::overwrite);
  }
  /// By the chain rule through variance and mean; w is the gamma of all channels.
  void expect_batch_norm(double y_tolerance, double gradient_tolerance) const {
    const auto channels = static_cast<std::size_t>(x.shape()[-1]);
    const std::vector<double> gamma(channels, w[0]);
    const std::vector<double> beta(channels, 0.0);
    const auto values = x.doubles();
    const double epsilon = bn.epsilon;
    const auto expected_y =
        reference::batch_norm(values, reference::batch_statistics(values, channels), gamma, beta, epsilon);
    EXPECT_LE(max_relative_error(y, expected_y), y_tolerance);
    const auto expected = reference::batch_norm_gradients(values, gamma, epsilon, g.doubles());
    EXPECT_LE(max_relative_error(dx, expected.x), gradient_tolerance);
    double expected_dw = 0.0;
    double magnitude = 0.0;
    for (const double v : expected.gamma) {
      expected_dw += v;
      magnitude += std::abs(v);
    }
    EXPECT_NEAR(dw[0], expected_dw, gradient_tolerance * magnitude);
  }

  const Tensor& x;
  BatchNorm bn;
  Tensor w = Tensor::filled(Shape{1}, 0.375F);
  Tensor g = Tensor::random(x.shape(), 5);
  Tensor y{x.shape()}, dx{x.shape()};
  Tensor dw = Tensor::filled(Shape{1}, 0.0F);
};

TEST(NodeReductionOp, IsTheBatchNormOfItsTerm) {
  Tensor x = Tensor::random(Shape{8, 12, 12, 20}, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = x[i] * (0.1F + 0.3F * static_cast<float>(i % 20)) + 2.0F * static_cast<float>(i % 20) - 3.0F;
  WeightedNorm(x).expect_batch_norm(5e-6, 5e-6);
}

TEST(NodeReductionOp, IsAccurateWhereTheMeanDwarfsTheDeviation) {
  // A normalisation holds the mean in f32, half a spacing of 6e-5 off at 1000 with a deviation of 1.
  Tensor x = Tensor::random(Shape{8, 12, 12, 20}, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = 1000.0F + 1.7F * x[i];
  WeightedNorm(x).expect_batch_norm(6e-5, 6e-5);
}

TEST(NodeReductionOp, DeadChannelsAreZeroAndTheirGradientsFinite) {
  Tensor x = Tensor::random(Shape{4, 9, 9, 5}, 1);
  for (std::int64_t i = 3; i < x.size(); i += 5)
    x[i] = 1234.567F;
  const WeightedNorm norm(x);
  norm.expect_batch_norm(5e-6, 5e-6);
  for (std::int64_t i = 3; i < x.size(); i += 5) {
    EXPECT_EQ(norm.y[i], 0.0F);
    EXPECT_TRUE(std::isfinite(norm.dx[i]));
  }
}

TEST(NodeReductionOp, OnePixelIsAllMean) {
  const Tensor x = Tensor::random(Shape{1, 1, 1, 40}, 1);
  const WeightedNorm norm(x);
  EXPECT_EQ(norm.dw[0], 0.0F);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(norm.y[i], 0.0F);
    // scale * g - scale * g, of magnitude 100 and rounded once each
    EXPECT_NEAR(norm.dx[i], 0.0F, 1e-5F);
  }
}

/// Good arguments, to be spoilt one at a time.
class NodeReductionArguments : public ::testing::Test {
 protected:
  void forward(const TensorView& to) { node_reduction_forward(Context::cpu(1), terms, weights, to); }
  void backward(const ReductionGradients& wanted) {
    node_reduction_backward(Context::cpu(1), terms, weights, node.view(), wanted, workspace);
  }
  void expect_error(const char* message) {
    EXPECT_THAT([&] { forward(node.view()); },
                ThrowsMessage<ShapeError>(HasSubstr(std::string("node_reduction_forward: ") + message)));
    EXPECT_THAT(
        [&] {
          backward({dw.view(), gradients});
        },
        ThrowsMessage<ShapeError>(HasSubstr(std::string("node_reduction_backward: ") + message)));
  }

  Tensor node = Tensor::random(Shape{2, 3, 3, 4}, 1);
  Tensor x = Tensor::random(Shape{2, 3, 3, 4}, 2);
  Tensor other{Shape{2, 3, 3, 5}};
  Tensor statistics{Shape{normalisation_rows, 4}};
  Tensor gradient{Shape{normalisation_gradient_rows, 4}};
  Tensor w{Shape{2, 2}};
  Tensor dw{Shape{2, 2}};
  TensorView weights = w.view();
  std::vector<ReductionTerm> terms{{x.view(), statistics.view(), 0}, {x.view(), {}, 3}};
  std::vector<TensorView> gradients{gradient.view(), {}};
  Buffer buffer{node_reduction_backward_workspace(node.shape(), 2)};
  std::span<std::byte> workspace{buffer.data(), buffer.bytes()};
};

TEST_F(NodeReductionArguments, GoodOnesAreTaken) {
  EXPECT_NO_THROW(forward(node.view()));
  EXPECT_NO_THROW(backward({dw.view(), gradients}));
  EXPECT_NO_THROW(backward({dw.view(), {}}));
  EXPECT_NO_THROW(backward({{}, gradients}));
  EXPECT_NO_THROW(backward({}));
}

TEST_F(NodeReductionArguments, TermsAreCounted) {
  terms.clear();
  expect_error("there are 0 terms, expected 1 to 256");
  terms.assign(max_reduction_terms + 1, {x.view(), {}, 0});
  expect_error("there are 257 terms, expected 1 to 256");
}

TEST_F(NodeReductionArguments, TermsFitTheNode) {
  terms[1].x = other.view();
  expect_error("x[1] is [2, 3, 3, 5], expected [2, 3, 3, 4]");
  terms[1].x = {};
  expect_error("x[1] has no data");
}

TEST_F(NodeReductionArguments, NormalisationsFitTheChannels) {
  terms[1].normalisation = gradient.view();
  expect_error("normalisation[1] is [4, 4], expected [2, 4]");
}

TEST_F(NodeReductionArguments, WeightsLieInsideW) {
  terms[1].weight = 4;
  expect_error("weight[1] is 4, expected a position inside w [2, 2]");
  terms[1].weight = -1;
  expect_error("weight[1] is -1");
  terms[1].weight = 0;
  weights = TensorView(w.view().data, Shape{2, 1}, 2);
  expect_error("w is a channel slice");
}

TEST_F(NodeReductionArguments, TheNodeIsImages) {
  EXPECT_THAT([&] { forward(w.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("node_reduction_forward: y is [2, 2], expected a tensor of rank 4")));
  EXPECT_THAT(
      [&] {
        forward(TensorView(node.view().data, Shape{0, 3, 3, 4}));
      },
      ThrowsMessage<ShapeError>(HasSubstr("node_reduction_forward: y is [0, 3, 3, 4], expected at least")));
  EXPECT_THAT([&] { forward(TensorView(node.view().data, node.shape(), DType::i32)); },
              ThrowsMessage<DtypeError>(HasSubstr("node_reduction_forward: y is i32, expected f32")));
}

TEST_F(NodeReductionArguments, GradientsFitWhatTheyAreOf) {
  const auto expect = [&](const ReductionGradients& wanted, const char* message) {
    EXPECT_THAT([&] { backward(wanted); }, ThrowsMessage<ShapeError>(HasSubstr(message)));
  };
  expect({gradient.view(), gradients}, "node_reduction_backward: gradients.dw is [4, 4], expected [2, 2]");
  expect({dw.view(), std::array{gradient.view()}}, "gradients.normalisation has 1 entries, expected 2");
  expect({dw.view(), std::array{gradient.view(), gradient.view()}}, "gradients.normalisation[1] is given");
  expect({dw.view(), std::array{statistics.view(), TensorView{}}},
         "node_reduction_backward: gradients.normalisation[0] is [2, 4], expected [4, 4]");
  workspace = workspace.first(workspace.size() - 1);
  expect({dw.view(), gradients}, "node_reduction_backward: workspace has");
}

}  // namespace
}  // namespace dnas::kernels
