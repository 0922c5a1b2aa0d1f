#include "dnas/kernels/noise.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/noise_ref.hpp"
#include "support/draws.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::message_of;
using test::OwnDraws;
using test::Tensor;
using ::testing::HasSubstr;

constexpr double tolerance = 5e-7;  // an f32 product and sum

struct Case {
  Shape shape;
  Gap x_gap = {};
  Gap y_gap = {};
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' ' << c.y_gap.before << '+'
      << c.y_gap.after;
}

class NoiseCase : public ::testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Context ctx = Context::cpu(2);
  OwnDraws draws;
  Tensor x = Tensor::random(c.shape, 1, c.x_gap);
};

TEST_P(NoiseCase, GaussianNoiseMatchesReference) {
  const auto expected = reference::gaussian_noise(x.doubles(), 0.25, draws.philox(), draws.first());
  const Tensor y(c.shape, c.y_gap);
  gaussian_noise(ctx, x.view(), 0.25F, draws.draws(), y.view());
  EXPECT_LE(max_relative_error(y, expected), tolerance);
  EXPECT_TRUE(y.gaps_untouched());
  gaussian_noise(ctx, x.view(), 0.25F, draws.draws(), x.view());
  EXPECT_LE(max_relative_error(x, expected), tolerance) << "in place";
}

TEST_P(NoiseCase, NormalNoiseIsTheGenerators) {
  const Tensor y(c.shape, c.y_gap);
  normal_noise(ctx, draws.draws(), y.view());
  for (std::int64_t i = 0; i < y.size(); ++i)
    ASSERT_EQ(y[i], draws.philox().normal(draws.first() + static_cast<std::uint64_t>(i)));
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(NoiseCase, NeitherThreadsNorLayoutChangeABit) {
  const Tensor dense = Tensor::random(c.shape, 1);
  const Tensor expected(c.shape);
  gaussian_noise(Context::cpu(1), dense.view(), 0.5F, draws.draws(), expected.view());
  for (const int threads : {1, 2, 3}) {
    const Context context = Context::cpu(threads);
    const Tensor y(c.shape, c.y_gap);
    gaussian_noise(context, x.view(), 0.5F, draws.draws(), y.view());
    EXPECT_EQ(y.doubles(), expected.doubles());
    const Tensor noise(c.shape, c.y_gap);
    const Tensor alone(c.shape, c.y_gap);
    normal_noise(context, draws.draws(), noise.view());
    normal_noise(Context::cpu(1), draws.draws(), alone.view());
    EXPECT_TRUE(noise.same_bits(alone));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, NoiseCase,
                         ::testing::Values(Case{{1, 1, 1, 2}}, Case{{3, 5, 7, 3}}, Case{{4, 32, 32, 20}},
                                           Case{{70, 9, 9, 5}, {2, 1}, {0, 3}}, Case{{2, 1, 2, 5000}, {1, 0}, {}},
                                           Case{{33}}, Case{{0, 4, 4, 8}}));

TEST(GaussianNoise, OfAConstantOrWithFactorZeroIsNone) {
  const OwnDraws draws;
  const Tensor constant = Tensor::filled({2, 3, 3, 5}, 0.1F, {1, 2});
  const Tensor random = Tensor::random({2, 3, 3, 5}, 1, {1, 2});
  Tensor y(constant.shape(), {1, 2});
  gaussian_noise(Context::cpu(1), constant.view(), 2.0F, draws.draws(), y.view());
  EXPECT_TRUE(y.same_bits(constant));
  gaussian_noise(Context::cpu(1), random.view(), 0.0F, draws.draws(), y.view());
  EXPECT_TRUE(y.same_bits(random));
}

TEST(GaussianNoise, SeesTheDeviationBesideALargeMean) {
  Tensor x = Tensor::random({4, 8, 8, 16}, 1);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = 4096.0F + x[i];
  const OwnDraws draws;
  const Tensor y(x.shape());
  gaussian_noise(Context::cpu(1), x.view(), 1.0F, draws.draws(), y.view());
  const double deviation = reference::standard_deviation(x.doubles());
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double noise =
        deviation * static_cast<double>(draws.philox().normal(draws.first() + static_cast<std::uint64_t>(i)));
    EXPECT_NEAR(static_cast<double>(y[i]) - static_cast<double>(x[i]), noise, 3e-4);  // spacing of f32 at 4096: 5e-4
  }
}

TEST(GaussianNoise, PassesNanOn) {
  Tensor x = Tensor::random({1, 2, 2, 3}, 1);
  x[5] = std::nanf("");
  const Tensor y(x.shape());
  gaussian_noise(Context::cpu(1), x.view(), 1.0F, OwnDraws().draws(), y.view());
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_TRUE(std::isnan(y[i]));
}

TEST(NormalNoise, HasMeanZeroAndDeviationOne) {
  const Tensor y({4, 50, 50, 8});
  normal_noise(Context::cpu(2), OwnDraws(17).draws(), y.view());
  const auto values = y.doubles();
  double mean = 0.0;
  for (const double v : values)
    mean += v / static_cast<double>(values.size());
  const double error = 5.0 / std::sqrt(static_cast<double>(values.size()));
  EXPECT_NEAR(mean, 0.0, error);
  EXPECT_NEAR(reference::standard_deviation(values), 1.0, error);
}

TEST(Noise, RefusesBadArguments) {
  const Tensor x({1, 2, 2, 3});
  const Tensor other({1, 2, 2, 4});
  const OwnDraws draws;
  const Context ctx = Context::cpu(1);
  for (const float factor : {-0.5F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(message_of<ConfigError>([&] { gaussian_noise(ctx, x.view(), factor, draws.draws(), x.view()); }),
                HasSubstr("gaussian_noise: factor is "));
  }
  EXPECT_THAT(message_of<ShapeError>([&] { gaussian_noise(ctx, x.view(), 1.0F, draws.draws(), other.view()); }),
              HasSubstr("gaussian_noise: y is [1, 2, 2, 4]"));
  EXPECT_THAT(
      message_of<ConfigError>([&] { gaussian_noise(ctx, x.view(), 1.0F, OwnDraws(0, 1, -1).draws(), x.view()); }),
      HasSubstr("gaussian_noise: site is -1"));
  EXPECT_THAT(message_of<ConfigError>([&] { normal_noise(ctx, OwnDraws(0, 1LL << 32U).draws(), x.view()); }),
              HasSubstr("normal_noise: the step in random[1] is 4294967296"));
  EXPECT_THAT(message_of<ShapeError>([&] { normal_noise(ctx, {}, x.view()); }), HasSubstr("normal_noise: random"));
}

}  // namespace
}  // namespace dnas::kernels
