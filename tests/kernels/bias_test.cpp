#include "dnas/kernels/bias.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/bias_ref.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"
#include "support/workspace.hpp"

#include <ostream>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::message_of;
using test::Tensor;
using test::Workspace;
using ::testing::HasSubstr;

constexpr double one_sum = 1e-6;    // one rounded f32 addition
constexpr double tolerance = 3e-6;  // sums: f32 over runs of at most 128

struct Case {
  Shape shape;
  Gap x_gap = {};
  Gap y_gap = {};
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' ' << c.y_gap.before << '+'
      << c.y_gap.after;
}

class BiasCase : public ::testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Context ctx = Context::cpu(2);
  Shape channels{c.shape[-1]};
  Tensor x = Tensor::random(c.shape, 1, c.x_gap);
  Tensor b = Tensor::random(channels, 2);

  [[nodiscard]] Tensor gradient(const Context& context, Tensor db, Write write) const {
    Workspace workspace(bias_workspace(c.shape));
    bias_backward(context, x.view(), db.view(), write, workspace.span());
    return db;
  }
};

TEST_P(BiasCase, ForwardMatchesReferenceAlsoInPlace) {
  const auto expected = reference::bias(x.doubles(), b.doubles());
  const Tensor y(c.shape, c.y_gap);
  bias_forward(ctx, x.view(), b.view(), y.view());
  EXPECT_LE(max_relative_error(y, expected), one_sum);
  EXPECT_TRUE(y.gaps_untouched());
  bias_forward(ctx, x.view(), b.view(), x.view());
  EXPECT_EQ(x.doubles(), y.doubles());
}

TEST_P(BiasCase, GradientMatchesReference) {
  std::vector<double> expected = reference::bias_gradient(x.doubles(), static_cast<std::size_t>(c.shape[-1]));
  EXPECT_LE(max_relative_error(gradient(ctx, Tensor(channels), Write::overwrite), expected), tolerance);
  for (double& v : expected)
    v += 0.5;
  EXPECT_LE(max_relative_error(gradient(ctx, Tensor::filled(channels, 0.5F), Write::accumulate), expected), tolerance);
}

TEST_P(BiasCase, ThreadsDoNotChangeABit) {
  const auto forward = [&](int threads) {
    Tensor y(c.shape, c.y_gap);
    bias_forward(Context::cpu(threads), x.view(), b.view(), y.view());
    return y;
  };
  const auto backward = [&](int threads) {
    return gradient(Context::cpu(threads), Tensor(channels), Write::overwrite);
  };
  for (const int threads : {2, 3}) {
    EXPECT_TRUE(forward(threads).same_bits(forward(1)));
    EXPECT_TRUE(backward(threads).same_bits(backward(1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BiasCase,
                         ::testing::Values(Case{{1, 1, 1, 1}}, Case{{3, 5, 7, 3}}, Case{{4, 32, 32, 36}},
                                           Case{{8, 16, 16, 16}}, Case{{2, 9, 9, 37}, {3, 1}, {0, 2}},
                                           Case{{8, 32, 32, 16}, {16, 0}, {}}, Case{{7, 131}}, Case{{5}},
                                           Case{{2, 30, 30, 4}, {}, {4, 8}}));

TEST(Bias, RefusesBadArguments) {
  const Tensor x({1, 2, 2, 3});
  const Tensor other({1, 2, 2, 4});
  const Tensor b(Shape{3});
  const Context ctx = Context::cpu(1);
  Workspace workspace(bias_workspace(x.shape()));
  EXPECT_THAT(message_of<ShapeError>([&] { bias_forward(ctx, other.view(), b.view(), other.view()); }),
              HasSubstr("bias_forward: b is [3], expected [4]"));
  EXPECT_THAT(message_of<ShapeError>([&] { bias_forward(ctx, x.view(), b.view(), other.view()); }),
              HasSubstr("bias_forward: y is [1, 2, 2, 4]"));
  EXPECT_THAT(
      message_of<ShapeError>([&] { bias_backward(ctx, other.view(), b.view(), Write::overwrite, workspace.span()); }),
      HasSubstr("bias_backward: db is [3], expected [4]"));
  EXPECT_THAT(message_of<ShapeError>([&] {
                bias_backward(ctx, x.view(), b.view(), Write::overwrite,
                              workspace.span().first(workspace.span().size() - 1));
              }),
              HasSubstr("bias_backward: workspace has"));
}

}  // namespace
}  // namespace dnas::kernels
