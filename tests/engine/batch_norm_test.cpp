#include "dnas/kernels/batch_norm.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/double_run.hpp"
#include "engine/gradient_check.hpp"
#include "engine/mixed_cell.hpp"
#include "support/throws.hpp"

#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::cell_network;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::darts_candidates;
using test_graphs::dense_edges;
using test_graphs::DoubleRun;
using test_graphs::expect_right_gradients;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using test_graphs::RandomGraph;
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
  for (const Mode mode : {Mode::train, Mode::eval}) {
    expect_right_gradients(network(
        [](Graph& g, ValueId x, ValueId) { return nodes::batch_norm(g, x, "a", true, {.epsilon = 0.5F}); }, mode));
  }
}

TEST(BatchNormNode, GradientsInEvaluationMatchDifferences) {
  for (const bool affine : {false, true}) {
    expect_right_gradients(network(
        [&](Graph& g, ValueId x, ValueId mix) {
          const ValueId y = nodes::pointwise_conv(g, x, "p", 3, {});
          const nodes::Term terms[] = {{nodes::batch_norm(g, y, "a", affine), 0},
                                       {nodes::relu(g, y), 1},
                                       {nodes::batch_norm(g, nodes::max_pool(g, y, {}), "a", affine), 2}};
          return nodes::weighted_sum(g, terms, mix);
        },
        Mode::eval));
  }
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

/// The slope of the double-precision loss along each element of an input or a parameter.
std::vector<double> slopes(DoubleRun& run, const std::string& name) {
  constexpr double step = 1e-6;
  std::vector<double> slopes;
  for (double& value : run[name]) {
    const double before = value;
    value = before + step;
    const double above = run.run();
    value = before - step;
    slopes.push_back((above - run.run()) / (2.0 * step));
    value = before;
  }
  return slopes;
}

/// A whole supernet in evaluation mode, differentiated by its mixing weights and its first weights.
TEST(BatchNormNode, ASupernetInEvaluationHasGradientsAndLeavesItsStatisticsAlone) {
  for (const int stride : {1, 2}) {
    const RandomGraph net = cell_network(dense_edges(2, darts_candidates), stride, {}, Mode::eval);
    const std::vector<ValueId> gradients =
        append_backward(*net.graph, net.loss, {.parameters = true, .inputs = {net.mix}});
    net.graph->output("dmix", gradients[0]);
    const InputValues inputs(*net.graph, 7, classes);
    PlannedRun run(net.graph, inputs, 2);
    const RandomGraph forward = cell_network(dense_edges(2, darts_candidates), stride, {}, Mode::eval);
    DoubleRun reference(*forward.graph, inputs, run.weights());
    // As after some training: of each batch norm others.
    const std::span<const ParameterSpec> states = run.states().table().specs();
    run.states().initialise(0);
    for (std::size_t s = 0; s < states.size(); ++s) {
      const TensorView values = run.states().view(static_cast<int>(s));
      std::vector<double>& start = reference.initial_state(states[s].name);
      const Philox random(2, Stream::synthetic_data, static_cast<std::uint32_t>(s));
      for (std::size_t c = 0; c < start.size(); ++c)
        start[c] = values.f32()[c] += random.uniform(c) - 0.5F;
    }
    const std::vector<float> before(run.states().flat().begin(), run.states().flat().end());
    run.executor().run();
    const std::vector<float> after(run.states().flat().begin(), run.states().flat().end());
    EXPECT_EQ(std::memcmp(after.data(), before.data(), before.size() * sizeof(float)), 0);

    const auto expect_near = [](const std::vector<float>& actual, const std::vector<double>& expected,
                                const std::string& name) {
      double norm = 0.0;
      double error = 0.0;
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        norm += expected[i] * expected[i];
        error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      }
      EXPECT_GT(norm, 1e-10) << name;
      EXPECT_LT(std::sqrt(error / norm), 1e-4) << name;
    };
    EXPECT_NEAR(*run.output("loss").f32(), reference.run(), 1e-5);
    expect_near(copy_of(run.output("dmix")), slopes(reference, "mix"), "mix");
    for (const char* name : {"stem.conv.weight", "stem.bn.weight", "stem.bn.bias", "pre0.pw.weight"}) {
      const int index = run.weights().table().find(name);
      expect_near(copy_of(run.gradients().view(index)), slopes(reference, name), name);
    }
  }
}

TEST(BatchNormNode, InEvaluationKeepsNoInputForAGradientThatNeedsNone) {
  const auto bytes = [](bool affine, bool parameters) {
    const RandomGraph net = network(
        [&](Graph& g, ValueId x, ValueId mix) {
          const nodes::Term scaled[] = {{x, 0}};
          ValueId y = nodes::weighted_sum(g, scaled, mix);
          for (const char* name : {"b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"})
            y = nodes::batch_norm(g, y, name, affine);
          return y;
        },
        Mode::eval);
    const auto gradients = append_backward(*net.graph, net.loss, {.parameters = parameters, .inputs = {net.mix}});
    net.graph->output("dmix", gradients[0]);
    return Plan(net.graph, Context::cpu(1)).arena_bytes();
  };
  EXPECT_EQ(bytes(true, false), bytes(false, false));  // all in place
  EXPECT_GT(bytes(true, true), bytes(true, false) + 6 * 2 * 4 * 5 * 3 * sizeof(float));
}

}  // namespace
}  // namespace dnas::engine
