#include "dnas/kernels/batch_norm.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "reference/batch_norm_ref.hpp"
#include "support/throws.hpp"

#include <cmath>
#include <vector>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::expect_right_gradients;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using ::testing::HasSubstr;

TEST(BatchNormNode, TakesEpsilonAndMomentum) {
  constexpr kernels::BatchNorm settings{.epsilon = 0.25F, .momentum = 0.75F};
  const NetworkTables tables;
  const auto train = std::make_shared<Graph>(Mode::train, tables);
  const auto eval = std::make_shared<Graph>(Mode::eval, tables);
  for (const auto& graph : {train, eval}) {
    const ValueId x = graph->input("x", Shape{3, 4, 5, 3});
    graph->output("y", nodes::batch_norm(*graph, x, "b", true, settings));
  }
  const InputValues inputs(*train, 1, classes);
  const std::vector<float> x = copy_of(inputs["x"]);
  const std::vector<double> values(x.begin(), x.end());
  const reference::BatchStatistics batch = reference::batch_statistics(values, 3);
  const std::vector<double> ones(3, 1.0);
  const std::vector<double> zeros(3, 0.0);
  PlannedRun run(train, inputs);
  run.run();
  const std::vector<double> expected = reference::batch_norm(values, batch, ones, zeros, 0.25);
  const std::vector<float> y = copy_of(run.output("y"));
  for (std::size_t i = 0; i < y.size(); ++i)
    EXPECT_NEAR(y[i], expected[i], 1e-6);
  const std::vector<float> mean = copy_of(run.states().view(run.states().table().find("b.running_mean")));
  const std::vector<float> var = copy_of(run.states().view(run.states().table().find("b.running_var")));
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(mean[c], 0.75 * batch.mean[c], 1e-6);
    EXPECT_NEAR(var[c], 0.25 + 0.75 * batch.variance[c] * 60.0 / 59.0, 1e-6);
  }
  PlannedRun evaluation(eval, inputs);
  evaluation.run();  // mean 0, variance 1
  const std::vector<float> z = copy_of(evaluation.output("y"));
  for (std::size_t i = 0; i < z.size(); ++i)
    EXPECT_NEAR(z[i], values[i] / std::sqrt(1.25), 1e-6);
}

TEST(BatchNormNode, GradientsWithOtherEpsilonMatchDifferences) {
  expect_right_gradients(network(
      [](Graph& g, ValueId x, ValueId) { return nodes::batch_norm(g, x, "a", true, {.epsilon = 0.5F}); }));
}

TEST(BatchNormNode, RefusesSettingsThatMakeNoSense) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{2, 2, 2, 3});
  const auto refusal = [&](const kernels::BatchNorm& settings) {
    return message_of<ConfigError>([&] { (void)nodes::batch_norm(graph, x, "b", true, settings); });
  };
  EXPECT_THAT(refusal({.epsilon = 0.0F}), HasSubstr("batch_norm b: epsilon is 0, expected a positive value"));
  EXPECT_THAT(refusal({.momentum = 1.5F}), HasSubstr("batch_norm b: momentum is 1.5, expected a value in [0, 1]"));
  EXPECT_THAT(refusal({.momentum = -0.5F}), HasSubstr("momentum is -0.5"));
}

}  // namespace
}  // namespace dnas::engine
