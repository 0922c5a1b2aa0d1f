#include "dnas/engine/parameters.hpp"

#include "dnas/kernels/error.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dnas::engine {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParameterSpec spec(const std::string& name, const Shape& shape, ParameterLayout layout,
                   ParameterInit init = ParameterInit::zeros, std::int64_t fan_in = 1) {
  return {.name = name, .shape = shape, .layout = layout, .init = init, .fan_in = fan_in};
}

std::vector<float> counting(std::size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

TEST(ParameterTable, TensorsLieOnCacheLinesInTheOrderDeclared) {
  ParameterTable table;
  EXPECT_EQ(table.declare(spec("a", {17}, ParameterLayout::vector)), 0);
  EXPECT_EQ(table.declare(spec("b", {4, 4}, ParameterLayout::matrix)), 1);
  EXPECT_EQ(table.declare(spec("c", {1}, ParameterLayout::vector)), 2);
  EXPECT_EQ(table.specs()[0].offset, 0);
  EXPECT_EQ(table.specs()[1].offset, 32);
  EXPECT_EQ(table.specs()[2].offset, 48);
  EXPECT_EQ(table.extent(), 64);
  EXPECT_EQ(table.count(), 17 + 16 + 1);
  EXPECT_EQ(table.find("b"), 1);
  EXPECT_EQ(table.find("d"), -1);
}

TEST(ParameterTable, TheSameDeclarationFindsTheTensor) {
  ParameterTable table;
  const ParameterSpec w = spec("w", {3, 4}, ParameterLayout::matrix, ParameterInit::uniform, 4);
  EXPECT_EQ(table.declare(w), 0);
  EXPECT_EQ(table.declare(w), 0);
  EXPECT_EQ(table.specs().size(), 1U);
  EXPECT_EQ(table.extent(), 16);
}

TEST(ParameterTable, RefusesAnotherDeclaration) {
  ParameterTable table;
  table.declare(spec("w", {3, 4}, ParameterLayout::matrix, ParameterInit::uniform, 4));
  const auto refusal = [&](const ParameterSpec& other) { return message_of<Error>([&] { table.declare(other); }); };
  EXPECT_THAT(refusal(spec("w", {4, 3}, ParameterLayout::matrix, ParameterInit::uniform, 4)),
              AllOf(HasSubstr("parameter w"), HasSubstr("[4, 3]"), HasSubstr("[3, 4]")));
  EXPECT_THAT(refusal(spec("w", {3, 4}, ParameterLayout::pointwise, ParameterInit::uniform, 4)),
              HasSubstr("another layout"));
  EXPECT_THAT(refusal(spec("w", {3, 4}, ParameterLayout::matrix, ParameterInit::ones, 4)), HasSubstr("init"));
  EXPECT_THAT(refusal(spec("w", {3, 4}, ParameterLayout::matrix, ParameterInit::uniform, 5)), HasSubstr("fan-in"));
}

TEST(ParameterTable, RefusesShapesThatDoNotFitTheLayout) {
  ParameterTable table;
  const auto refusal = [&](const ParameterSpec& bad) { return message_of<ShapeError>([&] { table.declare(bad); }); };
  EXPECT_THAT(refusal(spec("w", {3, 4}, ParameterLayout::vector)), HasSubstr("w: is [3, 4], expected 1 extents"));
  EXPECT_THAT(refusal(spec("w", {3}, ParameterLayout::matrix)), HasSubstr("expected 2"));
  EXPECT_THAT(refusal(spec("w", {3, 3}, ParameterLayout::depthwise)), HasSubstr("expected 3"));
  EXPECT_THAT(refusal(spec("w", {3, 3, 3}, ParameterLayout::conv)), HasSubstr("expected 4"));
  EXPECT_THAT(refusal(spec("w", {3}, ParameterLayout::vector, ParameterInit::uniform, 0)), HasSubstr("fan-in is 0"));
  EXPECT_TRUE(table.specs().empty());
}

/// A set of one tensor that holds 1, 2, 3 ... in memory order.
ParameterSet counted(const ParameterSpec& only) {
  const auto table = std::make_shared<ParameterTable>();
  table->declare(only);
  ParameterSet set(table);
  std::ranges::copy(counting(static_cast<std::size_t>(only.shape.elements())), set.flat().begin());
  return set;
}

TEST(ParameterSet, DepthwiseFiltersChangeTheirOrderInFiles) {
  const ParameterSpec w = spec("w", {2, 2, 3}, ParameterLayout::depthwise);  // [a, b, C]
  EXPECT_THAT(w.file_shape(), ElementsAre(3, 1, 2, 2));                      // [C, 1, a, b]
  ParameterSet set = counted(w);
  EXPECT_EQ(set.to_file(0), (std::vector<float>{1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12}));
}

TEST(ParameterSet, ConvolutionFiltersChangeTheirOrderInFiles) {
  const std::int64_t out = 2;
  const std::int64_t h = 1;
  const std::int64_t w = 3;
  const std::int64_t in = 4;
  const ParameterSpec filter = spec("w", {out, h, w, in}, ParameterLayout::conv);
  EXPECT_THAT(filter.file_shape(), ElementsAre(out, in, h, w));
  ParameterSet set = counted(filter);
  const std::vector<float> file = set.to_file(0);
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t a = 0; a < h; ++a) {
      for (std::int64_t b = 0; b < w; ++b) {
        for (std::int64_t i = 0; i < in; ++i) {
          EXPECT_EQ(file[static_cast<std::size_t>(((o * in + i) * h + a) * w + b)],
                    set.flat()[static_cast<std::size_t>(((o * h + a) * w + b) * in + i)]);
        }
      }
    }
  }
}

TEST(ParameterSet, OtherLayoutsKeepTheirOrderInFiles) {
  const ParameterSpec vector = spec("v", {5}, ParameterLayout::vector);
  const ParameterSpec matrix = spec("m", {2, 3}, ParameterLayout::matrix);
  const ParameterSpec pointwise = spec("p", {3, 2}, ParameterLayout::pointwise);
  EXPECT_THAT(vector.file_shape(), ElementsAre(5));
  EXPECT_THAT(matrix.file_shape(), ElementsAre(2, 3));
  EXPECT_THAT(pointwise.file_shape(), ElementsAre(3, 2, 1, 1));
  for (const ParameterSpec& s : {vector, matrix, pointwise})
    EXPECT_EQ(counted(s).to_file(0), counting(static_cast<std::size_t>(s.shape.elements())));
}

TEST(ParameterSet, FromFileUndoesToFile) {
  for (const ParameterSpec& s :
       {spec("d", {3, 3, 5}, ParameterLayout::depthwise), spec("c", {2, 3, 2, 4}, ParameterLayout::conv),
        spec("p", {3, 2}, ParameterLayout::pointwise)}) {
    ParameterSet set = counted(s);
    const std::vector<float> before(set.flat().begin(), set.flat().end());
    const std::vector<float> file = set.to_file(0);
    std::ranges::fill(set.flat().first(file.size()), 0.0F);
    set.from_file(0, file);
    EXPECT_TRUE(std::ranges::equal(set.flat(), before));
    EXPECT_THAT(message_of<ShapeError>([&] { set.from_file(0, std::span(file).first(3)); }),
                AllOf(HasSubstr("parameter " + s.name), HasSubstr("3 values")));
  }
}

TEST(ParameterSet, StartsAsDeclaredWithGapsOfZero) {
  const auto table = std::make_shared<ParameterTable>();
  const std::int64_t fan_in = 25;
  table->declare(spec("zeros", {3}, ParameterLayout::vector, ParameterInit::zeros));
  table->declare(spec("ones", {3}, ParameterLayout::vector, ParameterInit::ones));
  table->declare(spec("u", {100, 200}, ParameterLayout::matrix, ParameterInit::uniform, fan_in));
  table->declare(spec("v", {100, 200}, ParameterLayout::matrix, ParameterInit::uniform, fan_in));
  ParameterSet set(table);
  EXPECT_THAT(set.flat(), Each(0.0F));
  set.initialise(1);
  EXPECT_THAT(set.values(0), Each(0.0F));
  EXPECT_THAT(set.values(1), Each(1.0F));
  EXPECT_THAT(set.flat().subspan(3, 13), Each(0.0F));
  EXPECT_THAT(set.flat().subspan(16 + 3, 13), Each(0.0F));
  // U(-0.2, 0.2): the mean of n draws deviates by 0.2 / sqrt(3 n) from 0, their mean square by 0.04 * sqrt(4/45 / n)
  // from 0.04 / 3.
  const double bound = 0.2;
  const double n = 20'000;
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : set.values(2)) {
    ASSERT_LE(std::abs(value), bound);
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum / n, 0.0, 5 * bound / std::sqrt(3 * n));
  EXPECT_NEAR(squares / n, bound * bound / 3, 5 * bound * bound * std::sqrt(4.0 / 45 / n));
  EXPECT_GT(*std::ranges::max_element(set.values(2)), 0.999 * bound);
  EXPECT_LT(*std::ranges::min_element(set.values(2)), -0.999 * bound);
  EXPECT_FALSE(std::ranges::equal(set.values(2), set.values(3)));  // draws of their own
}

TEST(ParameterSet, TheSeedDecidesTheStart) {
  const auto table = std::make_shared<ParameterTable>();
  table->declare(spec("u", {10, 20}, ParameterLayout::matrix, ParameterInit::uniform, 3));
  ParameterSet a(table);
  ParameterSet b(table);
  a.initialise(1);
  b.initialise(1);
  EXPECT_TRUE(std::ranges::equal(a.flat(), b.flat()));
  b.initialise(2);
  EXPECT_FALSE(std::ranges::equal(a.flat(), b.flat()));
}

}  // namespace
}  // namespace dnas::engine
