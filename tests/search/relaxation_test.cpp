#include "dnas/search/relaxation.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/search/edge_weighting.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace dnas::search {
namespace {

constexpr std::int64_t rows = 14;
constexpr std::int64_t columns = 8;
constexpr std::size_t elements = rows * columns;

TensorView view(std::vector<float>& values) {
  return {values.data(), Shape{rows, columns}};
}

std::vector<float> random_values(unsigned seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(elements);
  for (float& value : values)
    value = normal(random);
  return values;
}

std::vector<float> garbage() {
  return std::vector<float>(elements, std::numeric_limits<float>::quiet_NaN());
}

std::unique_ptr<Relaxation> softmax() {
  return make_part(relaxations(), {.name = "softmax", .options = {}});
}
std::unique_ptr<EdgeWeighting> sum() {
  return make_part(edge_weightings(), {.name = "sum", .options = {}});
}

ChoiceGroup darts_group() {
  return make_part(spaces(), {.name = "darts", .options = {}})->choice_groups().front();
}

TEST(Softmax, ZeroLogitsGiveEqualWeights) {
  std::vector<float> alpha(elements, 0.0f);
  std::vector<float> weights = garbage();
  softmax()->forward(Context::cpu(1), {.alpha = view(alpha)}, view(weights));
  for (const float weight : weights)
    EXPECT_FLOAT_EQ(weight, 0.125f);
}

TEST(Softmax, IsTheSoftmaxOfEachEdge) {
  std::vector<float> alpha = random_values(1, 2.0f);
  std::vector<float> weights = garbage();
  softmax()->forward(Context::cpu(1), {.alpha = view(alpha)}, view(weights));
  for (std::size_t r = 0; r < elements; r += columns) {
    double total = 0.0;
    for (std::size_t k = 0; k < columns; ++k)
      total += std::exp(static_cast<double>(alpha[r + k]));
    for (std::size_t k = 0; k < columns; ++k) {
      EXPECT_NEAR(weights[r + k], std::exp(static_cast<double>(alpha[r + k])) / total, 1e-6);
    }
  }
}

// d/d alpha of sum(c * softmax(alpha)), by central differences in double.
TEST(Softmax, GradientMatchesDifferences) {
  std::vector<float> alpha = random_values(2, 1.5f);
  std::vector<float> dweights = random_values(3, 1.0f);
  std::vector<float> weights = garbage();
  std::vector<float> dalpha = garbage();
  const auto relaxation = softmax();
  const RelaxationInput in = {.alpha = view(alpha)};
  relaxation->forward(Context::cpu(1), in, view(weights));
  relaxation->backward(Context::cpu(1), in, view(weights), view(dweights), view(dalpha));

  const auto value = [&](std::size_t row, std::size_t moved, double by) {
    double total = 0.0;
    double weighted = 0.0;
    for (std::size_t k = 0; k < columns; ++k) {
      const double e = std::exp(static_cast<double>(alpha[row + k]) + (k == moved ? by : 0.0));
      total += e;
      weighted += e * static_cast<double>(dweights[row + k]);
    }
    return weighted / total;
  };
  constexpr double step = 1e-5;
  for (std::size_t r = 0; r < elements; r += columns) {
    for (std::size_t k = 0; k < columns; ++k) {
      EXPECT_NEAR(dalpha[r + k], (value(r, k, step) - value(r, k, -step)) / (2 * step), 2e-6);
    }
  }
}

TEST(Relaxation, NamesAnArgumentOfTheWrongShape) {
  std::vector<float> alpha(elements, 0.0f);
  std::vector<float> weights(elements, 0.0f);
  const auto relaxation = softmax();
  const Context ctx = Context::cpu(1);
  const TensorView narrow(weights.data(), Shape{rows, columns - 1});
  const auto message = [](auto action) -> std::string {
    try {
      action();
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([&] { relaxation->forward(ctx, {.alpha = view(alpha)}, narrow); }),
            "relaxation: weights is [14, 7], expected [14, 8]");
  EXPECT_EQ(message([&] { relaxation->backward(ctx, {.alpha = view(alpha)}, view(weights), narrow, view(weights)); }),
            "relaxation: dweights is [14, 7], expected [14, 8]");
  EXPECT_EQ(message([&] { relaxation->forward(ctx, {.alpha = TensorView()}, view(weights)); }),
            "relaxation: alpha is [], expected [edges, candidates]");
  EXPECT_EQ(message([&] {
              relaxation->forward(ctx, {.alpha = view(alpha)}, TensorView(nullptr, Shape{rows, columns}));
            }),
            "relaxation: weights has no data");
}

TEST(Sum, MixingWeightsAreTheRelaxedWeights) {
  const ChoiceGroup group = darts_group();
  std::vector<float> weights = random_values(4, 1.0f);
  std::vector<float> mix = garbage();
  EXPECT_EQ(sum()->parameters(group), 0);
  sum()->forward(Context::cpu(1), group, view(weights), {}, view(mix));
  EXPECT_EQ(mix, weights);
}

TEST(Sum, GradientPassesThroughAlsoInPlace) {
  const ChoiceGroup group = darts_group();
  std::vector<float> weights = random_values(5, 1.0f);
  std::vector<float> dmix = random_values(6, 1.0f);
  const std::vector<float> expected = dmix;
  std::vector<float> dweights = garbage();
  sum()->backward(Context::cpu(1), group, view(weights), {}, view(dmix), view(dweights), {});
  EXPECT_EQ(dweights, expected);
  sum()->backward(Context::cpu(1), group, view(weights), {}, view(dmix), view(dmix), {});
  EXPECT_EQ(dmix, expected);
}

TEST(EdgeWeighting, RefusesMatricesThatAreNotTheGroups) {
  const ChoiceGroup group = darts_group();
  std::vector<float> values(elements, 0.0f);
  const TensorView other(values.data(), Shape{columns, rows});
  EXPECT_THROW(sum()->forward(Context::cpu(1), group, other, {}, view(values)), ShapeError);
  EXPECT_THROW(sum()->forward(Context::cpu(1), group, view(values), {}, other), ShapeError);
  EXPECT_THROW(sum()->backward(Context::cpu(1), group, view(values), {}, other, view(values), {}), ShapeError);
}

}  // namespace
}  // namespace dnas::search
