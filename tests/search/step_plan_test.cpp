#include "dnas/search/step_plan.hpp"

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/config.hpp"
#include "dnas/search/supernet.hpp"
#include "search/networks.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace dnas::search {
namespace {

using namespace testing_networks;
using test::message_of;
using test::Tensor;
using ::testing::HasSubstr;

constexpr std::int64_t batch_size = 4;

NetworkConfig small_supernet() {
  return {.init_channels = 8, .layers = 3, .classes = 5, .batch = batch_size, .image = {16, 16, 3}};
}

StepPlan plan(const StepRequest& request, const StepOptions& options) {
  const auto space = make_space("darts");
  return plan_step([&](engine::Graph& graph) { return space->build_supernet(graph, small_supernet()); }, {}, request,
                   options, Context::cpu(1));
}

TEST(StepPlan, KeepsEverythingWithinAWideBudget) {
  const StepPlan free = plan({.weights = true}, {});
  EXPECT_EQ(free.recomputed, 0U);
  const StepPlan wide = plan({.weights = true}, {.memory_budget = free.plan->arena_bytes()});
  EXPECT_EQ(wide.recomputed, 0U);
  EXPECT_EQ(wide.plan->arena_bytes(), free.plan->arena_bytes());
}

TEST(StepPlan, ComputesAgainAsFewNodesAsFit) {
  const std::size_t all = plan({.weights = true}, {}).plan->arena_bytes();
  std::size_t last = 0;
  for (const double share : {0.95, 0.85, 0.75}) {
    SCOPED_TRACE(share);
    const auto budget = static_cast<std::size_t>(share * static_cast<double>(all));
    const StepPlan step = plan({.weights = true}, {.memory_budget = budget});
    EXPECT_LE(step.plan->arena_bytes(), budget);
    EXPECT_GT(step.recomputed, last);
    last = step.recomputed;
  }
}

TEST(StepPlan, SaysHowMuchItNeedsAtLeast) {
  const std::string message = message_of<ConfigError>([] { plan({.weights = true}, {.memory_budget = 100'000}); });
  EXPECT_THAT(message, HasSubstr("memory_budget leaves 0.1 MiB"));
  EXPECT_THAT(message, HasSubstr("MiB more, or reduce"));
  EXPECT_THAT(message_of<ConfigError>([] { plan({.weights = true}, {.fusion = false, .memory_budget = 100'000}); }),
              HasSubstr("MiB more, or fusion"));
  // An evaluation has nothing to compute again.
  EXPECT_THAT(message_of<ConfigError>([] { plan({}, {.memory_budget = 1000}); }),
              HasSubstr("memory_budget leaves 0.0 MiB"));
}

/// Loss and all gradients of one evaluation.
struct Evaluation {
  double loss = 0.0;
  std::vector<float> gradient;
  std::vector<float> dmix;
  std::vector<float> states;
  std::size_t arena = 0;
  std::size_t recomputed = 0;
};

Evaluation evaluate(std::size_t budget) {
  Supernet net(make_space("darts"), small_supernet(), 0.0F, Context::cpu(2), {.memory_budget = budget});
  engine::ParameterSet weights(net.tables().parameters);
  engine::ParameterSet states(net.tables().states);
  weights.initialise(5);
  states.initialise(5);
  const Tensor images = Tensor::random({batch_size, 16, 16, 3}, 1);
  std::array<std::int64_t, batch_size> labels{0, 4, 2, 1};
  const std::array mix{Tensor::random({14, 8}, 2), Tensor::random({14, 8}, 3)};
  const std::array views{mix[0].view(), mix[1].view()};
  const Supernet::Result& result =
      net.evaluate(Want::both, {images.view(), {labels.data(), Shape{batch_size}, DType::i64}}, views, weights.flat(),
                   states.flat());
  Evaluation e{result.loss, {}, {}, {}, net.arena_bytes(), net.recomputed()};
  e.gradient.assign(net.gradient().flat().begin(), net.gradient().flat().end());
  e.states.assign(states.flat().begin(), states.flat().end());
  for (const TensorView& d : result.dmix)
    e.dmix.insert(e.dmix.end(), d.f32(), d.f32() + d.elements());
  return e;
}

TEST(StepPlan, BudgetChangesNoBit) {
  const Evaluation kept = evaluate(0);
  EXPECT_EQ(kept.recomputed, 0U);
  for (const double share : {0.9, 0.75}) {
    SCOPED_TRACE(share);
    const Evaluation again = evaluate(static_cast<std::size_t>(share * static_cast<double>(kept.arena)));
    EXPECT_GT(again.recomputed, 0U);
    EXPECT_LT(again.arena, kept.arena);
    EXPECT_EQ(again.loss, kept.loss);
    EXPECT_EQ(again.gradient, kept.gradient);
    EXPECT_EQ(again.dmix, kept.dmix);
    EXPECT_EQ(again.states, kept.states);
  }
}

TEST(MemoryBudget, ReadsSizes) {
  const auto budget = [](const char* text, std::size_t others) {
    SearchConfig config;
    config.memory_budget = text;
    return arena_budget(config, others);
  };
  EXPECT_EQ(budget("0", 1000), 0U);
  EXPECT_EQ(budget("4096", 96), 4000U);
  EXPECT_EQ(budget("1.5KiB", 0), 1536U);
  EXPECT_EQ(budget("2 MiB", 0), std::size_t{2} << 20);
  EXPECT_EQ(budget("3GiB", 0), std::size_t{3} << 30);
  for (const char* text : {"", "x", "-1GiB", "1.5GB", "1e3MiB", "nan", "1GiBs", "1 2", "0.5"}) {
    EXPECT_THAT(message_of<ConfigError>([&] { budget(text, 0); }), HasSubstr("expected a size such as 1.5GiB")) << text;
  }
  EXPECT_THAT(message_of<ConfigError>([&] { budget("1KiB", 2000); }), HasSubstr("weights and data alone need 2000"));
}

}  // namespace
}  // namespace dnas::search
