#include "dnas/kernels/error.hpp"
#include "dnas/search/arch_optimizer.hpp"
#include "dnas/search/architecture.hpp"
#include "search/networks.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace dnas::search {
namespace {

using test::message_of;
using ::testing::HasSubstr;

const Context ctx = Context::cpu(1);

std::unique_ptr<ArchOptimizer> make(const std::string& name, std::size_t count) {
  auto optimizer = make_part(arch_optimizers(), PartChoice{name, {}});
  optimizer->prepare(count);
  return optimizer;
}

TEST(ExponentiatedGradient, MultipliesEachParameter) {
  const auto optimizer = make("exponentiated_gradient", 3);
  const std::array<float, 3> gradient{2.0F, -1.0F, 0.0F};
  std::array<float, 3> alpha{0.5F, 0.25F, 0.125F};
  optimizer->update(ctx, {.learning_rate = 0.1, .weight_decay = 0.0}, gradient, alpha);
  EXPECT_NEAR(alpha[0], 0.5 * std::exp(-0.2), 1e-7);
  EXPECT_NEAR(alpha[1], 0.25 * std::exp(0.1), 1e-7);
  EXPECT_EQ(alpha[2], 0.125F);
  EXPECT_EQ(optimizer->steps(), 1);
  EXPECT_TRUE(optimizer->state().empty());
}

TEST(ExponentiatedGradient, RefusesWeightDecay) {
  const auto optimizer = make("exponentiated_gradient", 1);
  const std::array<float, 1> gradient{};
  std::array<float, 1> alpha{1.0F};
  EXPECT_THAT(message_of<ConfigError>([&] { optimizer->update(ctx, {.weight_decay = 1e-3}, gradient, alpha); }),
              HasSubstr("weight decay is 0.001, expected 0"));
}

TEST(ExponentiatedGradient, ParameterThatGrowsWithoutBoundIsAnError) {
  const auto optimizer = make("exponentiated_gradient", 1);
  const std::array<float, 1> gradient{-1e4F};
  std::array<float, 1> alpha{1.0F};
  EXPECT_THAT(message_of<NumericalError>(
                  [&] { optimizer->update(ctx, {.learning_rate = 1.0, .weight_decay = 0.0}, gradient, alpha); }),
              HasSubstr("arch_learning_rate"));
}

TEST(NoArchOptimizer, CountsUpdatesAndChangesNothing) {
  const auto optimizer = make("none", 2);
  const std::array<float, 2> gradient{1.0F, -1.0F};
  std::array<float, 2> alpha{0.5F, -2.0F};
  for (int i = 0; i < 3; ++i)
    optimizer->update(ctx, {}, gradient, alpha);
  EXPECT_EQ(alpha, (std::array<float, 2>{0.5F, -2.0F}));
  EXPECT_EQ(optimizer->steps(), 3);
}

/// alpha and beta of a search on distributions, with one update.
struct Distributions {
  std::unique_ptr<Space> space = testing_networks::make_space("darts");
  Architecture architecture{*space, make_part(relaxations(), PartChoice{"simplex", {}}),
                            make_part(edge_weightings(), PartChoice{"edge_simplex", {}})};

  void update(std::vector<float>& dmix) {
    const auto optimizer = make("exponentiated_gradient", architecture.parameters().size());
    architecture.relax(ctx, {.phase = Phase::arch_step});
    architecture.backward(ctx, std::vector{TensorView(dmix.data(), Shape{14, 8}), TensorView{}});
    architecture.before_update();
    optimizer->update(ctx, {.learning_rate = 0.1, .weight_decay = 0.0}, architecture.gradient(),
                      architecture.parameters());
    architecture.updated();
  }
};

// Uniform over eight, gradient 1 of the first: 0.125 exp(-0.1) of the sum, and 0.125 of it. Edge 0 is one of two with
// the share 1/2, so dL/dmix = 2 is that gradient. For the share, dL/dbeta = 2 / 8: exp(-0.025) : 1.
TEST(ExponentiatedGradient, UpdateOfDistributionsIsKnown) {
  Distributions search;
  search.architecture.initialise(1);
  std::vector<float> dmix(14 * 8, 0.0F);
  dmix[0] = 2.0F;
  search.update(dmix);
  const float* alpha = search.architecture.alpha(0).values.f32();
  EXPECT_NEAR(alpha[0], 0.1144663, 5e-8);
  for (std::size_t k = 1; k < 8; ++k)
    EXPECT_NEAR(alpha[k], 0.1265048, 5e-8);
  for (std::size_t i = 8; i < 14 * 8; ++i)
    EXPECT_FLOAT_EQ(alpha[i], 0.125F);
  const float* beta = search.architecture.tensors()[2].values.f32();
  ASSERT_EQ(search.architecture.tensors()[2].name, "betas_normal");
  EXPECT_NEAR(beta[0], std::exp(-0.025) / (1.0 + std::exp(-0.025)), 1e-7);
  EXPECT_NEAR(beta[1], 1.0 / (1.0 + std::exp(-0.025)), 1e-7);
  EXPECT_FLOAT_EQ(beta[2], 1.0F / 3.0F);
}

TEST(ExponentiatedGradient, WhatWasTakenAwayHasNoPartInTheSum) {
  Distributions search;
  search.architecture.initialise(1);
  search.architecture.set_present(0, 3, 5, false);
  std::vector<float> dmix(14 * 8, 0.0F);
  search.update(dmix);
  const float* row = search.architecture.alpha(0).values.f32() + 3 * 8;
  for (std::size_t k = 0; k < 8; ++k)
    EXPECT_FLOAT_EQ(row[k], k == 5 ? 0.125F : 1.0F / 7.0F);
}

}  // namespace
}  // namespace dnas::search
