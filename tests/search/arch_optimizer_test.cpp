#include "dnas/search/arch_optimizer.hpp"

#include "dnas/kernels/error.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace dnas::search {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

const Context ctx = Context::cpu(1);

std::unique_ptr<ArchOptimizer> adam(std::size_t count) {
  auto optimizer = make_part(arch_optimizers(), PartChoice{"adam", {}});
  optimizer->prepare(count);
  return optimizer;
}

// Bias correction makes m = g and v = g^2, so every parameter moves by the learning rate against the sign of
// g = gradient + decay * alpha.
TEST(Adam, FirstStepMovesByTheLearningRate) {
  const auto optimizer = adam(4);
  const std::array<float, 4> gradient{0.5F, -2.0F, 1e-3F, 0.0F};
  std::array<float, 4> alpha{0.0F, 1.0F, -1.0F, 2.0F};
  optimizer->update(ctx, {.learning_rate = 0.01, .weight_decay = 0.1}, gradient, alpha);
  EXPECT_NEAR(alpha[0], -0.01, 1e-7);
  EXPECT_NEAR(alpha[1], 1.0 + 0.01, 1e-6);
  EXPECT_NEAR(alpha[2], -1.0 + 0.01, 1e-6);  // the decay, -0.1, outweighs the gradient
  EXPECT_NEAR(alpha[3], 2.0 - 0.01, 1e-6);   // the decay alone
  EXPECT_EQ(optimizer->steps(), 1);
}

// The textbook recursion in double, with the betas of the DARTS paper.
TEST(Adam, FollowsTheRecursion) {
  const auto optimizer = adam(1);
  double m = 0.0;
  double v = 0.0;
  double expected = 0.3;
  std::array<float, 1> alpha{0.3F};
  for (int t = 1; t <= 20; ++t) {
    const std::array<float, 1> gradient{static_cast<float>(std::sin(3.0 * t))};
    optimizer->update(ctx, {.learning_rate = 0.02, .weight_decay = 0.5}, gradient, alpha);
    const double g = static_cast<double>(gradient[0]) + 0.5 * expected;
    m = 0.5 * m + 0.5 * g;
    v = 0.999 * v + 0.001 * g * g;
    expected -= 0.02 * (m / (1 - std::pow(0.5, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
    EXPECT_NEAR(alpha[0], expected, 1e-5) << t;
  }
}

TEST(Adam, GoesOnFromItsState) {
  const auto whole = adam(16);
  const auto first = adam(16);
  const auto second = adam(16);
  std::array<float, 16> expected{};
  std::array<float, 16> alpha{};
  for (int t = 0; t < 6; ++t) {
    std::array<float, 16> gradient{};
    for (std::size_t i = 0; i < 16; ++i)
      gradient[i] = std::cos(static_cast<float>(t * 16) + static_cast<float>(i));
    whole->update(ctx, {}, gradient, expected);
    if (t == 3) {
      for (std::size_t s = 0; s < first->state().size(); ++s) {
        EXPECT_EQ(second->state()[s].name, first->state()[s].name);
        std::ranges::copy(first->state()[s].values, second->state()[s].values.begin());
      }
      second->set_steps(first->steps());
    }
    (t < 3 ? first : second)->update(ctx, {}, gradient, alpha);
  }
  EXPECT_EQ(alpha, expected);
}

TEST(Adam, ParameterThatIsNotFiniteIsAnError) {
  const auto optimizer = adam(2);
  std::array<float, 2> alpha{};
  const std::array<float, 2> gradient{1.0F, std::numeric_limits<float>::infinity()};
  EXPECT_THAT(message_of<NumericalError>([&] { optimizer->update(ctx, {}, gradient, alpha); }),
              AllOf(HasSubstr("architecture parameter"), HasSubstr("arch_learning_rate")));
}

TEST(Adam, RefusesSpansOfOtherLengths) {
  const auto optimizer = adam(2);
  const std::array<float, 3> three{};
  std::array<float, 2> two{};
  EXPECT_THAT(message_of<ShapeError>([&] { optimizer->update(ctx, {}, three, two); }),
              AllOf(HasSubstr("3"), HasSubstr("expected 2")));
  std::array<float, 3> parameters{};
  EXPECT_THROW(optimizer->update(ctx, {}, three, parameters), ShapeError) << "prepared for 2";
  EXPECT_EQ(optimizer->steps(), 0) << "a refused update is none";
}

}  // namespace
}  // namespace dnas::search
