#include "dnas/engine/sgd.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/kernels/rng.hpp"
#include "reference/optimizer_step_ref.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace dnas::engine {
namespace {

std::shared_ptr<ParameterTable> ragged_table() {
  auto table = std::make_shared<ParameterTable>();
  table->declare({.name = "a", .shape = {7}, .layout = ParameterLayout::vector});
  table->declare({.name = "b", .shape = {33, 3}, .layout = ParameterLayout::matrix});
  table->declare({.name = "c", .shape = {1}, .layout = ParameterLayout::vector});
  return table;
}

void fill(ParameterSet& set, std::uint32_t key, float scale) {
  for (std::size_t index = 0; index < set.table().specs().size(); ++index) {
    const Philox random(3, Stream::synthetic_data, key * 16 + static_cast<std::uint32_t>(index));
    const TensorView view = set.view(static_cast<int>(index));
    for (std::int64_t i = 0; i < view.elements(); ++i)
      view.f32()[i] = scale * random.normal(static_cast<std::uint64_t>(i));
  }
}

std::vector<double> doubles(const ParameterSet& set) {
  return {set.flat().begin(), set.flat().end()};
}

class SgdClipping : public ::testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Sgd, SgdClipping, ::testing::Values(0.0, 0.5, 5.0, 1000.0));

TEST_P(SgdClipping, StepsMatchTheFormulasAndGapsStayZero) {
  const double clip = GetParam();
  const auto table = ragged_table();
  ParameterSet weights(table);
  ParameterSet gradient(table);
  fill(weights, 0, 1.0F);
  Sgd sgd(table, {.momentum = 0.9, .weight_decay = 3e-2});
  std::vector<double> w = doubles(weights);
  std::vector<double> buffer(w.size(), 0.0);
  for (std::uint32_t step = 1; step <= 5; ++step) {
    fill(gradient, step, 0.5F);
    const std::vector<double> g = doubles(gradient);
    double squares = 0.0;
    for (const double v : g)
      squares += v * v;
    const double norm = std::sqrt(squares);
    const double scale = clip > 0.0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
    const double rate = 0.1 / step;
    reference::sgd({rate, 0.9, 3e-2, scale}, g, buffer, w);

    EXPECT_NEAR(sgd.step(Context::cpu(1), rate, clip, gradient, weights), norm, 1e-9 * norm);
    EXPECT_EQ(doubles(gradient), g);  // left alone
    for (std::size_t i = 0; i < w.size(); ++i) {
      ASSERT_NEAR(weights.flat()[i], w[i], 1e-5) << i;
      ASSERT_NEAR(sgd.momentum().flat()[i], buffer[i], 1e-5) << i;
    }
  }
  for (const std::size_t gap : {7U, 15U, 16U + 99U, 16U + 111U, 16U + 112U + 1U, 16U + 112U + 15U}) {
    EXPECT_EQ(weights.flat()[gap], 0.0F) << gap;
    EXPECT_EQ(sgd.momentum().flat()[gap], 0.0F) << gap;
  }
}

TEST(Sgd, RefusesSetsOfAnotherTable) {
  const auto table = ragged_table();
  const auto other = std::make_shared<ParameterTable>();
  other->declare({.name = "a", .shape = {7}, .layout = ParameterLayout::vector});
  ParameterSet weights(table);
  const ParameterSet gradient(other);
  Sgd sgd(table, {});
  EXPECT_THROW((void)sgd.step(Context::cpu(1), 0.1, 5.0, gradient, weights), ShapeError);
}

}  // namespace
}  // namespace dnas::engine
