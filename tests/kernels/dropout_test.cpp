#include "dnas/kernels/dropout.hpp"

#include "core/philox_words.hpp"
#include "dnas/kernels/error.hpp"
#include "reference/dropout_ref.hpp"
#include "support/draws.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <array>
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

constexpr double tolerance = 5e-7;  // the scale and one product, rounded to f32

/// dropout or drop_path; `elements(shape)` share one draw.
struct Function {
  const char* name;
  decltype(&dropout) call;
  bool by_image;

  [[nodiscard]] std::size_t group(const Shape& s) const {
    return by_image ? static_cast<std::size_t>(s[1] * s[2] * s[3]) : 1;
  }
};

constexpr std::array functions{Function{"dropout", dropout, false}, Function{"drop_path", drop_path, true}};

struct Case {
  Shape shape;
  float rate;
  Gap x_gap = {};
  Gap y_gap = {};
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " rate " << c.rate << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' '
      << c.y_gap.before << '+' << c.y_gap.after;
}

class DropCase : public ::testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Context ctx = Context::cpu(2);
  OwnDraws draws;
  Tensor x = Tensor::random(c.shape, 1, c.x_gap);
  Tensor rate = Tensor::filled(Shape{1}, c.rate);

  [[nodiscard]] std::vector<double> expected(const Function& f, const Tensor& from) const {
    return reference::drop(from.doubles(), c.rate, draws.philox(), draws.first(), f.group(c.shape));
  }
};

TEST_P(DropCase, MatchesReference) {
  for (const Function& f : functions) {
    const Tensor y(c.shape, c.y_gap);
    f.call(ctx, x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    EXPECT_LE(max_relative_error(y, expected(f, x)), tolerance) << f.name;
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(DropCase, AccumulatesOnRequest) {
  for (const Function& f : functions) {
    const Tensor y = Tensor::filled(c.shape, 0.5F, c.y_gap);
    f.call(ctx, x.view(), rate.view(), draws.draws(), y.view(), Write::accumulate);
    std::vector<double> sum = expected(f, x);
    for (double& v : sum)
      v += 0.5;
    EXPECT_LE(max_relative_error(y, sum), tolerance) << f.name;
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(DropCase, WorksInPlace) {
  for (const Function& f : functions) {
    const Tensor y = Tensor::random(c.shape, 1, c.x_gap);
    f.call(ctx, y.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    EXPECT_LE(max_relative_error(y, expected(f, x)), tolerance) << f.name;
  }
}

TEST_P(DropCase, IsItsOwnAdjoint) {  // <drop(x), g> = <x, drop(g)>: the gradient of a linear function
  const Tensor g = Tensor::random(c.shape, 2, c.y_gap);
  for (const Function& f : functions) {
    const Tensor y(c.shape, c.y_gap);
    const Tensor dx(c.shape, c.x_gap);
    f.call(ctx, x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    f.call(ctx, g.view(), rate.view(), draws.draws(), dx.view(), Write::overwrite);
    double forward = 0.0;
    double backward = 0.0;
    double scale = 0.0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      forward += static_cast<double>(y[i]) * static_cast<double>(g[i]);
      backward += static_cast<double>(x[i]) * static_cast<double>(dx[i]);
      scale += std::abs(static_cast<double>(x[i]) * static_cast<double>(g[i]));
    }
    EXPECT_NEAR(forward, backward, 1e-6 * scale) << f.name;
  }
}

TEST_P(DropCase, ThreadsDoNotChangeABit) {
  for (const Function& f : functions) {
    const auto result = [&](int threads) {
      Tensor y(c.shape, c.y_gap);
      f.call(Context::cpu(threads), x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
      return y;
    };
    const Tensor one = result(1);
    EXPECT_TRUE(result(2).same_bits(one) && result(3).same_bits(one)) << f.name;
  }
}

TEST_P(DropCase, ASliceDrawsAsADenseTensorDoes) {
  for (const Function& f : functions) {
    const Tensor y(c.shape, c.y_gap);
    const Tensor dense(c.shape);
    f.call(ctx, x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    f.call(ctx, Tensor::random(c.shape, 1).view(), rate.view(), draws.draws(), dense.view(), Write::overwrite);
    EXPECT_EQ(y.doubles(), dense.doubles()) << f.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, DropCase,
                         ::testing::Values(Case{{1, 1, 1, 1}, 0.5F}, Case{{3, 5, 7, 3}, 0.1F},
                                           Case{{5, 16, 16, 16}, 0.7F}, Case{{40, 9, 9, 5}, 0.3F, {2, 1}, {0, 3}},
                                           Case{{4, 32, 32, 20}, 0.25F},             // several pieces
                                           Case{{2, 1, 2, 5000}, 0.4F, {1, 0}, {}},  // rows longer than a block
                                           Case{{2, 2, 3, 37}, 0.999F}, Case{{2, 9, 9, 4}, 0.0F, {4, 8}, {1, 1}},
                                           Case{{0, 4, 4, 8}, 0.5F}));

TEST(Drop, RateZeroIsTheIdentityBitByBit) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const Tensor rate = Tensor::filled(Shape{1}, 0.0F);
  const OwnDraws draws;
  Tensor x = Tensor::random({2, 5, 5, 7}, 1);
  x[0] = -0.0F;
  x[3] = std::nanf("");
  x[4] = -inf;
  for (const Function& f : functions) {
    const Tensor y(x.shape());
    f.call(Context::cpu(1), x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    EXPECT_TRUE(y.same_bits(x)) << f.name;
  }
}

TEST(Drop, WhatIsDroppedIsZeroWhateverItWas) {
  const Tensor rate = Tensor::filled(Shape{1}, 0.9999F);
  const OwnDraws draws;
  const Tensor x = Tensor::filled({2, 2, 2, 3}, std::nanf(""));
  for (const Function& f : functions) {
    const Tensor y(x.shape());
    f.call(Context::cpu(1), x.view(), rate.view(), draws.draws(), y.view(), Write::overwrite);
    EXPECT_EQ(y.doubles(), std::vector<double>(24, 0.0)) << f.name;
  }
}

/// 1 where kept, 0 where dropped.
std::vector<double> mask(const Function& f, const Shape& shape, float rate, const OwnDraws& draws) {
  const Tensor y(shape);
  f.call(Context::cpu(1), Tensor::filled(shape, 1.0F - rate).view(), Tensor::filled(Shape{1}, rate).view(),
         draws.draws(), y.view(), Write::overwrite);
  std::vector<double> kept = y.doubles();
  for (double& v : kept)
    v = std::round(v);
  return kept;
}

TEST(Drop, KeepsTheShareThatItShould) {
  for (const float rate : {0.1F, 0.5F, 0.8F}) {
    for (const Function& f : functions) {
      const Shape shape = f.by_image ? Shape{40000, 1, 1, 2} : Shape{4, 50, 50, 8};
      double kept = 0.0;
      for (const double v : mask(f, shape, rate, OwnDraws(11)))
        kept += v;
      const double n = 80000.0;
      const double draws = f.by_image ? n / 2 : n;
      const double deviation = std::sqrt(static_cast<double>(rate) * (1.0 - static_cast<double>(rate)) / draws);
      EXPECT_NEAR(kept / n, 1.0 - static_cast<double>(rate), 5.0 * deviation) << f.name;
    }
  }
}

TEST(Drop, AnImageIsKeptOrDroppedAsAWhole) {
  const Shape shape{64, 3, 5, 3};
  const std::vector<double> kept = mask(functions[1], shape, 0.5F, OwnDraws());
  double images = 0.0;
  for (std::size_t n = 0; n < 64; ++n) {
    for (std::size_t i = 0; i < 45; ++i)
      EXPECT_EQ(kept[n * 45 + i], kept[n * 45]);
    images += kept[n * 45];
  }
  EXPECT_GT(images, 10.0);
  EXPECT_LT(images, 54.0);
}

TEST(Drop, SeedStepAndSiteMakeDrawsOfTheirOwn) {
  const Shape shape{1, 100, 100, 4};
  const std::vector<double> base = mask(functions[0], shape, 0.5F, OwnDraws(3, 5, 7));
  for (const OwnDraws& other :
       {OwnDraws(4, 5, 7), OwnDraws(3, 6, 7), OwnDraws(3, 5, 8), OwnDraws(-3, 5, 7), OwnDraws(3, 0xFFFFFFFF, 7)}) {
    const std::vector<double> kept = mask(functions[0], shape, 0.5F, other);
    double equal = 0.0;
    for (std::size_t i = 0; i < kept.size(); ++i)
      equal += kept[i] == base[i] ? 1.0 : 0.0;
    EXPECT_NEAR(equal / static_cast<double>(kept.size()), 0.5, 5.0 * 0.5 / 200.0);
  }
}

TEST(Drop, RefusesBadArguments) {
  const Tensor x({1, 2, 2, 3});
  const Tensor other({1, 2, 2, 4});
  const Tensor matrix({2, 3});
  const Tensor half = Tensor::filled(Shape{1}, 0.5F);
  const OwnDraws draws;
  const Context ctx = Context::cpu(1);
  for (const Function& f : functions) {
    const std::string name = f.name;
    const auto refusal = [&](const Tensor& rate, const Draws& from, const TensorView& y) {
      return [&, from, y] { f.call(ctx, x.view(), rate.view(), from, y, Write::overwrite); };
    };
    for (const float rate : {1.0F, -0.1F, std::nanf("")}) {
      const Tensor wrong = Tensor::filled(Shape{1}, rate);
      EXPECT_THAT(message_of<ConfigError>(refusal(wrong, draws.draws(), x.view())), HasSubstr(name + ": rate is "));
    }
    EXPECT_THAT(message_of<ShapeError>(refusal(matrix, draws.draws(), x.view())),
                HasSubstr(name + ": rate is [2, 3], expected [1]"));
    EXPECT_THAT(message_of<ShapeError>(refusal(half, draws.draws(), other.view())),
                HasSubstr(name + ": y is [1, 2, 2, 4]"));
    EXPECT_THAT(message_of<ConfigError>(refusal(half, OwnDraws(1, -1).draws(), x.view())),
                HasSubstr(name + ": the step in random[1] is -1, expected 0 to 4294967295"));
    EXPECT_THAT(message_of<ConfigError>(refusal(half, OwnDraws(1, 1, max_sites).draws(), x.view())),
                HasSubstr(name + ": site is 16777216, expected 0 to 16777215"));
    EXPECT_THAT(message_of<DtypeError>(refusal(half, {half.view(), 0}, x.view())),
                HasSubstr(name + ": random is f32, expected i64"));
  }
  EXPECT_THAT(message_of<ShapeError>(
                  [&] { drop_path(ctx, matrix.view(), half.view(), draws.draws(), matrix.view(), Write::overwrite); }),
              HasSubstr("drop_path: x is [2, 3]"));
}

TEST(PhiloxWords, AreTheFirstWordsOfTheGenerator) {
  const Philox random(0xFEDCBA9876543210ULL, Stream::network, 0x89ABCDEFU);
  for (const std::uint64_t element : {0ULL, 5ULL, (1ULL << 32U) - 30, (7ULL << 40U) + 1, ~0ULL - 63}) {
    std::array<std::uint32_t, philox_lanes> words;
    philox_words(random, element, words);
    for (std::size_t i = 0; i < words.size(); ++i)
      EXPECT_EQ(words[i], random(element + i)[0]) << element << " + " << i;
  }
}

}  // namespace
}  // namespace dnas::kernels
