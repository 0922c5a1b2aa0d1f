#include "dnas/kernels/weighted_sum.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/weighted_sum_ref.hpp"
#include "support/tensors.hpp"
#include "support/workspace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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

// At most 40 rounded f32 multiply-adds per element.
constexpr double tolerance = 3e-6;

/// K terms whose weights lie anywhere in a matrix of weights, in descending order.
struct Node {
  Node(const Shape& s, std::size_t k, bool sliced) : shape(s), terms(k) {
    for (std::size_t i = 0; i < k; ++i) {
      // Of different strides, and one of them dense.
      const auto n = static_cast<std::int64_t>(i);
      gaps.push_back(sliced && i % 3 != 1 ? Gap{n % 3, 1 + n % 5} : Gap{});
      x.push_back(Tensor::random(s, 10 + i, gaps.back()));
      index.push_back(static_cast<std::int32_t>(w.size() - 1 - 2 * n));
    }
    if (sliced) y_gap = Gap{4, 4};
  }
  [[nodiscard]] std::vector<TensorView> views() const { return views_of(x); }
  [[nodiscard]] static std::vector<TensorView> views_of(std::span<const Tensor> tensors) {
    std::vector<TensorView> v;
    for (const Tensor& t : tensors)
      v.push_back(t.view());
    return v;
  }
  [[nodiscard]] double weight(std::size_t k) const { return w[index[k]]; }
  [[nodiscard]] std::vector<double> expected_y() const {
    std::vector<std::vector<double>> values;
    std::vector<double> weights;
    for (std::size_t k = 0; k < terms; ++k) {
      values.push_back(x[k].doubles());
      weights.push_back(weight(k));
    }
    return reference::weighted_sum(values, weights);
  }

  Shape shape;
  std::size_t terms;
  std::vector<Gap> gaps;
  Gap y_gap;
  std::vector<Tensor> x;
  std::vector<std::int32_t> index;
  Tensor w = Tensor::random(Shape{10, 8}, 3);
};

struct Case {
  Shape shape;
  std::size_t terms;
  bool sliced;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.terms << (c.sliced ? " sliced" : " dense") << " terms " << c.shape.to_string();
}

/// Fewer and more terms than are fused, ragged ends, several pieces, terms of different strides.
class WeightedSum : public ::testing::TestWithParam<Case> {
 protected:
  Node node{GetParam().shape, GetParam().terms, GetParam().sliced};
  Context ctx = Context::cpu(2);
};

TEST_P(WeightedSum, ForwardMatchesReference) {
  Tensor y(node.shape, node.y_gap);
  weighted_sum_forward(ctx, node.views(), node.index, node.w.view(), y.view());
  EXPECT_LE(max_relative_error(y, node.expected_y()), tolerance);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(WeightedSum, DataGradientOverwritesAndAccumulatesPerTerm) {
  const Tensor dy = Tensor::random(node.shape, 7, node.y_gap);
  std::vector<Tensor> dx;
  std::vector<TensorView> views;
  std::vector<Write> write;
  for (std::size_t k = 0; k < node.terms; ++k) {
    // Every second gradient adds to a 1; every fourth is not wanted.
    write.push_back(k % 2 == 0 ? Write::overwrite : Write::accumulate);
    dx.push_back(k % 2 == 0 ? Tensor(node.shape, node.gaps[k]) : Tensor::filled(node.shape, 1.0F, node.gaps[k]));
    views.push_back(k % 4 == 3 ? TensorView{} : dx.back().view());
  }
  weighted_sum_backward_data(ctx, node.index, node.w.view(), dy.view(), views, write);
  for (std::size_t k = 0; k < node.terms; ++k) {
    std::vector<double> expected = dy.doubles();
    for (double& v : expected)
      v = k % 4 == 3 ? 1.0 : node.weight(k) * v + (k % 2 == 0 ? 0.0 : 1.0);
    EXPECT_LE(max_relative_error(dx[k], expected), tolerance) << "term " << k;
    EXPECT_TRUE(dx[k].gaps_untouched());
  }
}

TEST_P(WeightedSum, WeightGradientAddsToItsPositionsOnly) {
  const Tensor dy = Tensor::random(node.shape, 7, node.y_gap);
  Tensor dw = Tensor::filled(node.w.shape(), 0.25F);
  Workspace workspace(weighted_sum_workspace(node.shape, node.terms));
  weighted_sum_backward_weights(ctx, node.views(), node.index, dy.view(), dw.view(), workspace.span());
  std::vector<double> expected(static_cast<std::size_t>(dw.size()), 0.25);
  for (std::size_t k = 0; k < node.terms; ++k) {
    expected[static_cast<std::size_t>(node.index[k])] += reference::weight_gradient(node.x[k].doubles(), dy.doubles());
  }
  EXPECT_LE(max_relative_error(dw, expected), tolerance);
}

TEST_P(WeightedSum, ThreadsDoNotChangeABit) {
  const Tensor dy = Tensor::random(node.shape, 7, node.y_gap);
  Workspace workspace(weighted_sum_workspace(node.shape, node.terms));
  const auto forward = [&](int threads) {
    Tensor y(node.shape, node.y_gap);
    weighted_sum_forward(Context::cpu(threads), node.views(), node.index, node.w.view(), y.view());
    return y;
  };
  const auto weights = [&](int threads) {
    Tensor dw = Tensor::filled(node.w.shape(), 0.0F);
    weighted_sum_backward_weights(Context::cpu(threads), node.views(), node.index, dy.view(), dw.view(),
                                  workspace.span());
    return dw;
  };
  const auto data = [&](int threads) {
    std::vector<Tensor> dx;
    for (const Gap gap : node.gaps)
      dx.push_back(Tensor::filled(node.shape, 1.0F, gap));
    const std::vector<Write> write(node.terms, Write::accumulate);
    weighted_sum_backward_data(Context::cpu(threads), node.index, node.w.view(), dy.view(), Node::views_of(dx), write);
    return dx;
  };
  const Tensor y = forward(1);
  const auto dx = data(1);
  const Tensor dw = weights(1);
  for (const int threads : {2, 3}) {
    EXPECT_TRUE(forward(threads).same_bits(y));
    EXPECT_TRUE(weights(threads).same_bits(dw));
    EXPECT_TRUE(std::ranges::equal(data(threads), dx, [](const Tensor& a, const Tensor& b) { return a.same_bits(b); }));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, WeightedSum,
                         ::testing::Values(Case{{1, 1, 1, 1}, 1, false}, Case{{2, 5, 7, 3}, 3, false},
                                           Case{{4, 8, 8, 16}, 4, false}, Case{{2, 33, 31, 36}, 5, false},
                                           Case{{16, 8, 8, 64}, 14, false}, Case{{8, 16, 16, 16}, 40, false},
                                           Case{{1, 1, 1, 1}, 2, true}, Case{{2, 5, 7, 3}, 8, true},
                                           Case{{2, 33, 31, 36}, 6, true}, Case{{4, 16, 16, 37}, 14, true}));

TEST(WeightedSumOp, OneTermOfWeightOneIsACopy) {
  const Tensor x = Tensor::random(Shape{2, 3, 3, 5}, 1);
  const Tensor w = Tensor::filled(Shape{1}, 1.0F);
  Tensor y(x.shape());
  weighted_sum_forward(Context::cpu(1), std::array{x.view()}, std::array{0}, w.view(), y.view());
  EXPECT_TRUE(y.same_bits(x));
}

TEST(WeightedSumOp, OneTensorMayBeSeveralTerms) {
  const Tensor x = Tensor::random(Shape{2, 3, 3, 5}, 1);
  const Tensor w = Tensor::of(Shape{2}, std::array{0.25F, 0.5F});
  Tensor y(x.shape());
  weighted_sum_forward(Context::cpu(1), std::array{x.view(), x.view()}, std::array{0, 1}, w.view(), y.view());
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_FLOAT_EQ(y[i], 0.75F * x[i]);
}

TEST(WeightedSumOp, WeightGradientKeepsSmallTermsAmongMany) {
  // A plain f32 sum of 2^24 ones and more stops growing; f64 over the runs does not.
  const Shape shape{1, 1025, 1024, 16};
  const Tensor ones = Tensor::filled(shape, 1.0F);
  Tensor dw = Tensor::filled(Shape{1}, 0.0F);
  Workspace workspace(weighted_sum_workspace(shape, 1));
  weighted_sum_backward_weights(Context::cpu(2), std::array{ones.view()}, std::array{0}, ones.view(), dw.view(),
                                workspace.span());
  EXPECT_EQ(dw[0], 1025.0F * 1024.0F * 16.0F);
}

TEST(WeightedSumOp, RefusesBadArguments) {
  const Context ctx = Context::cpu(1);
  Tensor a(Shape{2, 3, 3, 4});
  Tensor b(Shape{2, 3, 3, 5});
  Tensor w(Shape{2, 2});
  Workspace workspace(weighted_sum_workspace(a.shape(), 2));
  const std::array x{a.view(), a.view()};
  const std::array mixed{a.view(), b.view()};
  const std::array index{0, 3};
  const std::array write{Write::overwrite, Write::overwrite};
  const TensorView integers(w.view().data, w.shape(), DType::i32);
  const TensorView sliced(w.view().data, Shape{2, 1}, 2);

  EXPECT_THAT([&] { weighted_sum_forward(ctx, {}, {}, w.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: there are no terms")));
  EXPECT_THAT([&] { weighted_sum_forward(ctx, x, std::array{0}, w.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: index has 1 entries, expected 2")));
  EXPECT_THAT(
      [&] {
        weighted_sum_forward(ctx, x, std::array{0, 4}, w.view(), a.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: index[1] is 4, expected a position inside w")));
  EXPECT_THAT(
      [&] {
        weighted_sum_forward(ctx, x, std::array{-1, 0}, w.view(), a.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: index[0] is -1")));
  EXPECT_THAT([&] { weighted_sum_forward(ctx, mixed, index, w.view(), a.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("x[1] is [2, 3, 3, 5], expected [2, 3, 3, 4]")));
  EXPECT_THAT(
      [&] {
        weighted_sum_forward(ctx, std::array{TensorView{}, a.view()}, index, w.view(), a.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: x[0]")));
  EXPECT_THAT([&] { weighted_sum_forward(ctx, x, index, integers, a.view()); },
              ThrowsMessage<DtypeError>(HasSubstr("weighted_sum_forward: w is i32, expected f32")));
  EXPECT_THAT(
      [&] {
        weighted_sum_forward(ctx, x, std::array{0, 1}, sliced, a.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_forward: w is a channel slice")));

  EXPECT_THAT([&] { weighted_sum_backward_data(ctx, index, w.view(), b.view(), x, write); },
              ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_backward_data: dx[0]")));
  EXPECT_THAT([&] { weighted_sum_backward_data(ctx, index, w.view(), a.view(), x, std::array{Write::overwrite}); },
              ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_backward_data: write has 1 entries, expected 2")));

  EXPECT_THAT([&] { weighted_sum_backward_weights(ctx, mixed, index, a.view(), w.view(), workspace.span()); },
              ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_backward_weights: x[1]")));
  EXPECT_THAT(
      [&] {
        weighted_sum_backward_weights(ctx, x, std::array{0, 9}, a.view(), w.view(), workspace.span());
      },
      ThrowsMessage<ShapeError>(HasSubstr("index[1] is 9, expected a position inside dw [2, 2]")));
  EXPECT_THAT(
      [&] { weighted_sum_backward_weights(ctx, x, index, a.view(), w.view(), workspace.span().first(15)); },
      ThrowsMessage<ShapeError>(HasSubstr("weighted_sum_backward_weights: workspace has 15 bytes, expected 16")));

  Buffer larger(128);
  const std::span<std::byte> askew{larger.data() + 8, 64};
  EXPECT_THAT([&] { weighted_sum_backward_weights(ctx, x, index, a.view(), w.view(), askew); },
              ThrowsMessage<ShapeError>(HasSubstr("workspace is not aligned to 64 bytes")));
}

}  // namespace
}  // namespace dnas::kernels
