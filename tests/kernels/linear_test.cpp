#include "dnas/kernels/linear.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/linear_ref.hpp"
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
// the worst of many elements. The largest n here is a thousand.
constexpr double tolerance = 1e-5;

struct Case {
  std::int64_t samples;
  std::int64_t inputs;
  std::int64_t outputs;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.samples << " samples, " << c.inputs << " -> " << c.outputs;
}

class LinearCase : public testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Tensor x = Tensor::random({c.samples, c.inputs}, 1);
  Tensor w = Tensor::random({c.outputs, c.inputs}, 2);
  Tensor b = Tensor::random({c.outputs}, 3);
  Tensor dy = Tensor::random({c.samples, c.outputs}, 4);
  reference::LinearProblem problem{static_cast<std::size_t>(c.samples), static_cast<std::size_t>(c.inputs),
                                   static_cast<std::size_t>(c.outputs)};
  Context ctx = Context::cpu(2);
};

TEST_P(LinearCase, ForwardMatchesReferenceWithAndWithoutBias) {
  const Tensor y(dy.shape());
  linear_forward(ctx, x.view(), w.view(), b.view(), y.view());
  EXPECT_LT(max_relative_error(y, reference::linear_forward(problem, x.doubles(), w.doubles(), b.doubles())),
            tolerance);
  EXPECT_TRUE(y.gaps_untouched());

  const Tensor without(dy.shape());
  linear_forward(ctx, x.view(), w.view(), {}, without.view());
  EXPECT_LT(max_relative_error(without, reference::linear_forward(problem, x.doubles(), w.doubles(), {})), tolerance);
}

TEST_P(LinearCase, DataGradientMatchesReference) {
  auto expected = reference::linear_backward_data(problem, dy.doubles(), w.doubles());
  const Tensor overwritten(x.shape());
  linear_backward_data(ctx, dy.view(), w.view(), overwritten.view(), Write::overwrite);
  EXPECT_LT(max_relative_error(overwritten, expected), tolerance);
  EXPECT_TRUE(overwritten.gaps_untouched());

  const Tensor accumulated = Tensor::filled(x.shape(), 0.5F);
  linear_backward_data(ctx, dy.view(), w.view(), accumulated.view(), Write::accumulate);
  for (double& value : expected)
    value += 0.5;
  EXPECT_LT(max_relative_error(accumulated, expected), tolerance);
}

TEST_P(LinearCase, WeightAndBiasGradientsMatchReference) {
  const Tensor dw(w.shape());
  const Tensor db(b.shape());
  linear_backward_weight(ctx, x.view(), dy.view(), dw.view(), db.view());
  EXPECT_LT(max_relative_error(dw, reference::linear_backward_weight(problem, x.doubles(), dy.doubles())), tolerance);
  EXPECT_LT(max_relative_error(db, reference::linear_backward_bias(problem, dy.doubles())), tolerance);
  EXPECT_TRUE(dw.gaps_untouched());
  EXPECT_TRUE(db.gaps_untouched());

  const Tensor alone(w.shape());
  linear_backward_weight(ctx, x.view(), dy.view(), alone.view(), {});
  EXPECT_TRUE(alone.same_bits(dw));
}

TEST_P(LinearCase, ResultsDoNotDependOnThreads) {
  std::vector<Tensor> y;
  std::vector<Tensor> dx;
  std::vector<Tensor> dw;
  std::vector<Tensor> db;
  for (const int threads : {1, 2, 3}) {
    const Context context = Context::cpu(threads);
    linear_forward(context, x.view(), w.view(), b.view(), y.emplace_back(dy.shape()).view());
    linear_backward_data(context, dy.view(), w.view(), dx.emplace_back(x.shape()).view(), Write::overwrite);
    linear_backward_weight(context, x.view(), dy.view(), dw.emplace_back(w.shape()).view(),
                           db.emplace_back(b.shape()).view());
  }
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_TRUE(y[i].same_bits(y[0]));
    EXPECT_TRUE(dx[i].same_bits(dx[0]));
    EXPECT_TRUE(dw[i].same_bits(dw[0]));
    EXPECT_TRUE(db[i].same_bits(db[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearCase,
                         testing::Values(Case{1, 1, 1}, Case{64, 256, 10}, Case{5, 7, 3}, Case{33, 300, 70},
                                         Case{97, 2, 100}, Case{1000, 20, 35}));

TEST(Linear, BiasAloneIsTheResultOfZeroInput) {
  const Tensor x = Tensor::filled({3, 4}, 0.0F);
  const Tensor w = Tensor::random({2, 4}, 1);
  const std::vector<float> bias{1.5F, -2.0F};
  const Tensor y({3, 2});
  linear_forward(Context::cpu(1), x.view(), w.view(), Tensor::of({2}, bias).view(), y.view());
  for (std::int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(y[i], bias[static_cast<std::size_t>(i % 2)]) << i;
}

template <typename E>
void expect_error(const std::function<void()>& call, const std::string& part) {
  EXPECT_THAT(call, testing::ThrowsMessage<E>(testing::HasSubstr(part)));
}

TEST(Linear, NamesTheArgumentItRefuses) {
  const Context ctx = Context::cpu(1);
  const Tensor x({3, 4});
  const Tensor w({2, 4});
  const Tensor b({2});
  const Tensor y({3, 2});
  const Tensor wrong({3, 5});
  expect_error<ShapeError>([&] { linear_forward(ctx, b.view(), w.view(), b.view(), y.view()); },
                           "linear_forward: x is [2], expected a tensor of rank 2");
  expect_error<ShapeError>([&] { linear_forward(ctx, x.view(), wrong.view(), b.view(), y.view()); },
                           "linear_forward: w is [3, 5], expected [3, 4]");
  expect_error<ShapeError>([&] { linear_forward(ctx, x.view(), w.view(), wrong.view(), y.view()); },
                           "linear_forward: b is [3, 5], expected [2]");
  expect_error<ShapeError>([&] { linear_forward(ctx, x.view(), w.view(), b.view(), wrong.view()); },
                           "linear_forward: y is [3, 5], expected [3, 2]");
  expect_error<ShapeError>(
      [&] {
        linear_forward(ctx, Tensor({3, 4}, Gap{1, 1}).view(), w.view(), b.view(), y.view());
      },
      "linear_forward: x is a channel slice");
  TensorView integers = y.view();
  integers.dtype = DType::i32;
  expect_error<DtypeError>([&] { linear_forward(ctx, x.view(), w.view(), b.view(), integers); }, "y is i32");
  expect_error<ShapeError>([&] { linear_backward_data(ctx, wrong.view(), w.view(), x.view(), Write::overwrite); },
                           "linear_backward_data: dy is [3, 5]");
  expect_error<ShapeError>([&] { linear_backward_weight(ctx, x.view(), y.view(), wrong.view(), b.view()); },
                           "linear_backward_weight: dw is [3, 5]");
  expect_error<ShapeError>([&] { linear_backward_weight(ctx, x.view(), y.view(), w.view(), wrong.view()); },
                           "linear_backward_weight: db is [3, 5]");
}

}  // namespace
}  // namespace dnas::kernels
