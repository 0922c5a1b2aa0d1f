#include "dnas/kernels/pool.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/pool_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

// f32 means and sums of at most 225 elements; measured: below 6e-7.
constexpr double tolerance = 2e-6;

struct Case {
  std::string name;
  Shape x;
  Pool pool;
  Gap gap_x;
  Gap gap_y;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::vector<double> sum(const Tensor& a, const Tensor& b) {
  std::vector<double> total = a.doubles();
  for (std::int64_t i = 0; i < b.size(); ++i)
    total[static_cast<std::size_t>(i)] += b[i];
  return total;
}

struct Argmax {
  explicit Argmax(const Shape& shape_) : shape(shape_), values(static_cast<std::size_t>(shape.elements()), 255) {}
  [[nodiscard]] TensorView view() { return {values.data(), shape, DType::u8}; }
  Shape shape;
  std::vector<std::uint8_t> values;
};

/// What the four passes produce, from outputs full of NaN.
struct Results {
  Tensor max;
  Argmax argmax;
  Tensor max_dx;
  Tensor avg;
  Tensor avg_dx;
};

struct Problem {
  explicit Problem(const Case& c)
      : pool(c.pool),
        x(Tensor::random(c.x, 1, c.gap_x)),
        y_shape(c.pool.output_shape(c.x)),
        dy(Tensor::random(y_shape, 2, c.gap_y)),
        gap_x(c.gap_x),
        gap_y(c.gap_y) {
    // Eight levels: most windows hold equal values, of which the first must win.
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] = std::round(4.0F * x[i]);
  }

  [[nodiscard]] Results run(int threads) const {
    const Context ctx = Context::cpu(threads);
    Results r{Tensor(y_shape, gap_y), Argmax(y_shape), Tensor(x.shape(), gap_x), Tensor(y_shape, gap_y),
              Tensor(x.shape(), gap_x)};
    max_pool_forward(ctx, pool, x.view(), r.max.view(), r.argmax.view());
    max_pool_backward(ctx, pool, dy.view(), r.argmax.view(), r.max_dx.view(), Write::overwrite);
    avg_pool_forward(ctx, pool, x.view(), r.avg.view());
    avg_pool_backward(ctx, pool, dy.view(), r.avg_dx.view(), Write::overwrite);
    return r;
  }

  Pool pool;
  Tensor x;
  Shape y_shape;
  Tensor dy;
  Gap gap_x;
  Gap gap_y;
};

class PoolShapes : public testing::TestWithParam<Case> {};

TEST_P(PoolShapes, MaxAgreesWithPlainLoops) {
  const Problem p(GetParam());
  const Results r = p.run(1);
  const reference::MaxPooled expected = reference::max_pool_forward(p.pool, p.x.shape(), p.y_shape, p.x.doubles());
  EXPECT_EQ(r.max.doubles(), expected.y);
  EXPECT_EQ(r.argmax.values, expected.argmax);
  EXPECT_LT(max_relative_error(r.max_dx, reference::max_pool_backward(expected, p.x.shape(), p.dy.doubles())),
            tolerance);
  EXPECT_TRUE(r.max.gaps_untouched());
  EXPECT_TRUE(r.max_dx.gaps_untouched());
}

TEST_P(PoolShapes, AverageAgreesWithPlainLoops) {
  const Problem p(GetParam());
  const Results r = p.run(1);
  EXPECT_LT(max_relative_error(r.avg, reference::avg_pool_forward(p.pool, p.x.shape(), p.y_shape, p.x.doubles())),
            tolerance);
  EXPECT_LT(max_relative_error(r.avg_dx, reference::avg_pool_backward(p.pool, p.x.shape(), p.y_shape, p.dy.doubles())),
            tolerance);
  EXPECT_TRUE(r.avg.gaps_untouched());
  EXPECT_TRUE(r.avg_dx.gaps_untouched());
}

TEST_P(PoolShapes, DoesNotDependOnTheNumberOfThreads) {
  const Problem p(GetParam());
  const Results one = p.run(1);
  for (const int threads : {2, 3}) {
    const Results many = p.run(threads);
    EXPECT_TRUE(many.max.same_bits(one.max)) << threads << " threads";
    EXPECT_EQ(many.argmax.values, one.argmax.values) << threads << " threads";
    EXPECT_TRUE(many.max_dx.same_bits(one.max_dx)) << threads << " threads";
    EXPECT_TRUE(many.avg.same_bits(one.avg)) << threads << " threads";
    EXPECT_TRUE(many.avg_dx.same_bits(one.avg_dx)) << threads << " threads";
  }
}

TEST_P(PoolShapes, AccumulatingAddsToWhatIsThere) {
  const Problem p(GetParam());
  Results r = p.run(2);
  Tensor max_dx = Tensor::random(p.x.shape(), 3, p.gap_x);
  Tensor avg_dx = Tensor::random(p.x.shape(), 4, p.gap_x);
  const std::vector<double> expected_max = sum(max_dx, r.max_dx);
  const std::vector<double> expected_avg = sum(avg_dx, r.avg_dx);
  const Context ctx = Context::cpu(2);
  max_pool_backward(ctx, p.pool, p.dy.view(), r.argmax.view(), max_dx.view(), Write::accumulate);
  avg_pool_backward(ctx, p.pool, p.dy.view(), avg_dx.view(), Write::accumulate);
  EXPECT_LT(max_relative_error(max_dx, expected_max), tolerance);
  EXPECT_LT(max_relative_error(avg_dx, expected_avg), tolerance);
  EXPECT_TRUE(max_dx.gaps_untouched());
  EXPECT_TRUE(avg_dx.gaps_untouched());
}

INSTANTIATE_TEST_SUITE_P(
    , PoolShapes,
    testing::Values(
        // The pools of the DARTS space, on its maps.
        Case{"channels16", {3, 32, 32, 16}, {3, 1, 1}, {}, {}}, Case{"channels32", {2, 16, 16, 32}, {3, 2, 1}, {}, {}},
        Case{"channels64", {40, 2, 2, 64}, {3, 1, 1}, {}, {}}, Case{"channels4", {34, 8, 8, 4}, {3, 1, 1}, {}, {}},
        Case{"channels8", {2, 8, 8, 8}, {3, 2, 1}, {}, {}}, Case{"channels36", {2, 14, 14, 36}, {3, 1, 1}, {}, {}},
        Case{"channels72", {2, 7, 7, 72}, {3, 2, 1}, {}, {}},
        // Ragged channels, one element, other windows, rows wider than one strip.
        Case{"channels1", {2, 5, 6, 1}, {3, 1, 1}, {}, {}}, Case{"channels13", {1, 6, 5, 13}, {3, 2, 1}, {}, {}},
        Case{"channels31", {1, 4, 3, 31}, {2, 1, 0}, {}, {}}, Case{"one_pixel", {1, 1, 1, 1}, {3, 1, 1}, {}, {}},
        Case{"one_tap_stride2", {1, 5, 5, 3}, {1, 2, 0}, {}, {}}, Case{"even", {2, 8, 6, 16}, {2, 2, 0}, {}, {}},
        Case{"stride3", {2, 11, 10, 8}, {3, 3, 1}, {}, {}}, Case{"kernel5", {1, 9, 9, 20}, {5, 1, 2}, {}, {}},
        Case{"unpadded", {1, 9, 8, 16}, {3, 1, 0}, {}, {}}, Case{"mostly_padding", {1, 3, 3, 6}, {5, 2, 4}, {}, {}},
        Case{"wide", {1, 5, 101, 16}, {3, 1, 1}, {}, {}}, Case{"wide_stride2", {1, 4, 140, 4}, {3, 2, 1}, {}, {}},
        Case{"largest", {1, 20, 17, 4}, {15, 8, 7}, {}, {}},
        // Channel slices.
        Case{"slice16", {2, 8, 8, 16}, {3, 1, 1}, {16, 32}, {0, 16}},
        Case{"slice4", {2, 8, 7, 4}, {3, 2, 1}, {1, 3}, {4, 0}},
        Case{"slice37", {1, 5, 5, 37}, {3, 1, 1}, {2, 0}, {0, 5}}),
    testing::PrintToStringParamName());

struct MaxOf {
  std::vector<double> y;
  std::vector<std::uint8_t> argmax;
};

MaxOf max_of(const Shape& shape, const std::vector<float>& values, const Pool& pool) {
  const Tensor x = Tensor::of(shape, values);
  const Shape y_shape = pool.output_shape(shape);
  const Tensor y(y_shape);
  Argmax argmax(y_shape);
  max_pool_forward(Context::cpu(1), pool, x.view(), y.view(), argmax.view());
  return {y.doubles(), argmax.values};
}

TEST(MaxPool, FirstOfEqualsWins) {
  const MaxOf m = max_of({1, 2, 2, 1}, {5, 5, 5, 5}, {2, 1, 0});
  EXPECT_THAT(m.y, ElementsAre(5));
  EXPECT_THAT(m.argmax, ElementsAre(0));
}

TEST(MaxPool, FirstNanWinsOverEverything) {
  for (const auto& values : {std::vector<float>{1, nan, infinity, nan}, std::vector<float>{infinity, nan, nan, 2}}) {
    const MaxOf m = max_of({1, 2, 2, 1}, values, {2, 1, 0});
    EXPECT_TRUE(std::isnan(m.y[0]));
    EXPECT_THAT(m.argmax, ElementsAre(1));
  }
}

TEST(MaxPool, PaddingNeverWinsOverMinusInfinity) {
  const MaxOf m = max_of({1, 2, 2, 1}, {-infinity, -infinity, -infinity, -infinity}, {3, 1, 1});
  EXPECT_THAT(m.y, ElementsAre(-infinity, -infinity, -infinity, -infinity));
  EXPECT_THAT(m.argmax, ElementsAre(4, 3, 1, 0));
}

TEST(MaxPool, NegativeValuesBeatThePadding) {
  const MaxOf m = max_of({1, 1, 2, 1}, {-3, -2}, {3, 2, 1});
  EXPECT_THAT(m.y, ElementsAre(-2));
  EXPECT_THAT(m.argmax, ElementsAre(5));
}

TEST(AvgPool, DoesNotCountThePadding) {
  const Tensor x = Tensor::filled({2, 3, 4, 5}, 7.0F);
  Tensor y(x.shape());
  avg_pool_forward(Context::cpu(1), Pool{}, x.view(), y.view());
  for (const double value : y.doubles())
    EXPECT_NEAR(value, 7.0, 1e-5);
}

TEST(AvgPool, GradientSumsToTheGradientOfTheOutput) {
  // Every average hands out exactly what it received.
  const Shape shape{2, 7, 6, 5};
  const Pool pool{3, 2, 1};
  const Tensor dy = Tensor::random(pool.output_shape(shape), 1);
  const Tensor dx(shape);
  avg_pool_backward(Context::cpu(1), pool, dy.view(), dx.view(), Write::overwrite);
  double given = 0.0;
  double received = 0.0;
  for (const double v : dy.doubles())
    given += v;
  for (const double v : dx.doubles())
    received += v;
  EXPECT_NEAR(received, given, 1e-5);
}

struct GlobalCase {
  std::string name;
  Shape x;
  Gap gap;
};
void PrintTo(const GlobalCase& c, std::ostream* out) {
  *out << c.name;
}

class GlobalAvgPoolShapes : public testing::TestWithParam<GlobalCase> {};

TEST_P(GlobalAvgPoolShapes, AgreesWithPlainLoopsWithAnyNumberOfThreads) {
  const auto& [name, shape, gap] = GetParam();
  const Tensor x = Tensor::random(shape, 1, gap);
  const Tensor dy = Tensor::random({shape[0], shape[3]}, 2);
  const Tensor start = Tensor::random(shape, 3, gap);
  std::vector<Tensor> means;
  std::vector<Tensor> gradients;
  for (const int threads : {1, 2, 3}) {
    const Context ctx = Context::cpu(threads);
    global_avg_pool_forward(ctx, x.view(), means.emplace_back(dy.shape()).view());
    global_avg_pool_backward(ctx, dy.view(), gradients.emplace_back(shape, gap).view(), Write::overwrite);
    EXPECT_TRUE(means.back().same_bits(means.front())) << threads << " threads";
    EXPECT_TRUE(gradients.back().same_bits(gradients.front())) << threads << " threads";
  }
  EXPECT_LT(max_relative_error(means.front(), reference::global_avg_pool_forward(shape, x.doubles())), 5e-6);
  EXPECT_LT(max_relative_error(gradients.front(), reference::global_avg_pool_backward(shape, dy.doubles())), tolerance);
  EXPECT_TRUE(gradients.front().gaps_untouched());

  const std::vector<double> expected = sum(start, gradients.front());
  global_avg_pool_backward(Context::cpu(2), dy.view(), start.view(), Write::accumulate);
  EXPECT_LT(max_relative_error(start, expected), tolerance);
}

INSTANTIATE_TEST_SUITE_P(, GlobalAvgPoolShapes,
                         testing::Values(GlobalCase{"darts", {5, 8, 8, 64}, {}},
                                         GlobalCase{"ragged", {3, 7, 5, 37}, {}},
                                         GlobalCase{"one_pixel", {1, 1, 1, 1}, {}},
                                         GlobalCase{"slice", {2, 3, 4, 20}, {5, 2}}),
                         testing::PrintToStringParamName());

TEST(Pool, OutputShapeFollowsTheFormula) {
  EXPECT_EQ((Pool{3, 2, 1}.output_shape({64, 32, 31, 16})), (Shape{64, 16, 16, 16}));
  EXPECT_EQ((Pool{2, 2, 0}.output_shape({1, 5, 4, 3})), (Shape{1, 2, 2, 3}));
}

TEST(Pool, RefusesParametersWithoutMeaning) {
  const Shape x{1, 8, 8, 4};
  EXPECT_THAT(([&] { (void)Pool{0, 1, 0}.output_shape(x); }), ThrowsMessage<ConfigError>(HasSubstr("kernel is 0")));
  EXPECT_THAT(([&] { (void)Pool{3, 0, 1}.output_shape(x); }), ThrowsMessage<ConfigError>(HasSubstr("stride is 0")));
  EXPECT_THAT(([&] { (void)Pool{3, 1, -1}.output_shape(x); }), ThrowsMessage<ConfigError>(HasSubstr("padding is -1")));
  EXPECT_THAT(([&] {
                (void)Pool{16, 1, 1}.output_shape(x);
              }),
              ThrowsMessage<UnsupportedError>(HasSubstr("kernel is 16")));
}

TEST(Pool, RefusesWindowsInThePadding) {
  EXPECT_THAT(([] {
                (void)Pool{2, 1, 2}.output_shape({1, 8, 8, 4});
              }),
              ThrowsMessage<ShapeError>(HasSubstr("padding is 2, expected less than kernel 2")));
}

TEST(Pool, RefusesShapesWithoutOutput) {
  EXPECT_THAT(([] { (void)Pool{5, 1, 0}.output_shape({1, 4, 8, 2}); }), ThrowsMessage<ShapeError>(HasSubstr("x is")));
  EXPECT_THAT(([] { (void)Pool{3, 1, 1}.output_shape({1, 4, 8, 0}); }), ThrowsMessage<ShapeError>(HasSubstr("empty")));
}

TEST(Pool, NamesTheBadArgument) {
  const Context ctx = Context::cpu(1);
  const Pool pool;
  const Tensor x = Tensor::random({2, 4, 4, 8}, 1);
  const Tensor y({2, 4, 4, 8});
  const Tensor small({2, 4, 3, 8});
  Argmax argmax(y.shape());
  Argmax short_argmax(small.shape());
  std::vector<std::int64_t> integers(static_cast<std::size_t>(x.size()));
  const TensorView wrong(integers.data(), x.shape(), DType::i64);
  const TensorView sliced_argmax(argmax.values.data(), y.shape(), 9, DType::u8);
  const auto rejects_shape = [](auto call, const char* what) {
    EXPECT_THAT(call, ThrowsMessage<ShapeError>(HasSubstr(what)));
  };
  const auto rejects_dtype = [](auto call, const char* what) {
    EXPECT_THAT(call, ThrowsMessage<DtypeError>(HasSubstr(what)));
  };
  const auto overwrite = Write::overwrite;

  rejects_dtype([&] { max_pool_forward(ctx, pool, wrong, y.view(), argmax.view()); }, "max_pool_forward: x is i64");
  rejects_shape([&] { max_pool_forward(ctx, pool, x.view(), small.view(), argmax.view()); }, "max_pool_forward: y is");
  rejects_shape([&] { max_pool_forward(ctx, pool, x.view(), y.view(), short_argmax.view()); },
                "max_pool_forward: argmax is");
  rejects_shape([&] { max_pool_forward(ctx, pool, x.view(), y.view(), sliced_argmax); },
                "max_pool_forward: argmax is a channel slice");
  rejects_dtype([&] { max_pool_forward(ctx, pool, x.view(), y.view(), x.view()); },
                "max_pool_forward: argmax is f32, expected u8");
  rejects_shape([&] { max_pool_backward(ctx, pool, small.view(), argmax.view(), x.view(), overwrite); },
                "max_pool_backward: dy is");
  rejects_shape([&] { max_pool_backward(ctx, pool, y.view(), short_argmax.view(), x.view(), overwrite); },
                "max_pool_backward: argmax is");
  rejects_dtype([&] { max_pool_backward(ctx, pool, y.view(), argmax.view(), wrong, overwrite); },
                "max_pool_backward: dx is i64");
  rejects_dtype([&] { avg_pool_forward(ctx, pool, wrong, y.view()); }, "avg_pool_forward: x is i64");
  rejects_shape([&] { avg_pool_forward(ctx, pool, x.view(), small.view()); }, "avg_pool_forward: y is");
  rejects_shape([&] { avg_pool_backward(ctx, pool, small.view(), x.view(), overwrite); }, "avg_pool_backward: dy is");
  rejects_dtype([&] { avg_pool_backward(ctx, pool, y.view(), wrong, overwrite); }, "avg_pool_backward: dx is i64");
  rejects_shape([&] { global_avg_pool_forward(ctx, x.view(), y.view()); }, "global_avg_pool_forward: y is");
  rejects_dtype([&] { global_avg_pool_forward(ctx, wrong, y.view()); }, "global_avg_pool_forward: x is i64");
  rejects_shape([&] { global_avg_pool_backward(ctx, y.view(), x.view(), overwrite); },
                "global_avg_pool_backward: dy is");
  rejects_shape(
      [&] {
        global_avg_pool_backward(ctx, y.view(), TensorView(nullptr, {2, 0, 4, 8}), overwrite);
      },
      "global_avg_pool_backward: dx is [2, 0, 4, 8], expected no empty axes");
}

}  // namespace
}  // namespace dnas::kernels
