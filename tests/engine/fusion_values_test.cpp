#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/fusion.hpp"
#include "engine/double_run.hpp"
#include "engine/graph_runs.hpp"
#include "engine/mixed_cell.hpp"
#include "support/allocation_count.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>

namespace dnas::engine {
namespace {

using test_graphs::cell_network;
using test_graphs::CellEdge;
using test_graphs::CellSize;
using test_graphs::classes;
using test_graphs::darts_candidates;
using test_graphs::dense_edges;
using test_graphs::DoubleRun;
using test_graphs::InputValues;
using test_graphs::PlannedRun;
using test_graphs::random_edges;
using test_graphs::RandomGraph;
using test_graphs::UnsharedRun;

struct Case {
  std::string name;
  std::vector<CellEdge> edges;
  int stride = 1;
  CellSize size{};
  friend std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }
};

std::vector<Case> cases() {
  std::vector<Case> all{
      {"normal", dense_edges(2, darts_candidates), 1},
      {"reduction", dense_edges(2, darts_candidates), 2},
      {"wide", dense_edges(1, darts_candidates), 1, {4, 5, 20}},
      {"wide_reduction", dense_edges(1, darts_candidates), 2, {4, 6, 18}},
      {"one_channel", dense_edges(1, std::array{"sep_conv3", "max_pool", "dil_conv5"}), 2, {6, 7, 1}}};
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const auto channels = static_cast<std::int64_t>(2 + seed % 4);
    all.push_back(
        {"random" + std::to_string(seed), random_edges(seed), 1 + static_cast<int>(seed % 2), {4, 6, channels}});
  }
  return all;
}

struct Wanted {
  bool parameters = true;
  bool mixing = true;
};

/// The cell, fused or not, with the gradients that are wanted ("dmix", and that of the images: "dx"). Nodes of kind
/// `recomputed` run again in the backward pass.
std::shared_ptr<Graph> differentiated(const Case& c, bool fuse, Wanted wanted = {}, std::string_view recomputed = {}) {
  RandomGraph net = cell_network(c.edges, c.stride, c.size);
  if (fuse) {
    FusedGraph fused = fuse_mixed_operations(*net.graph);
    net.loss = fused.at(net.loss);
    net.mix = fused.at(net.mix);
    net.x = fused.at(net.x);
    net.graph = fused.graph;
  }
  GradientRequest request{.parameters = wanted.parameters};
  if (wanted.mixing) request.inputs = {net.mix, net.x};
  for (std::size_t i = 0; i < net.graph->nodes().size(); ++i) {
    if (net.graph->nodes()[i].op->kind() == recomputed) request.recompute.insert(i);
  }
  const std::vector<ValueId> gradients = append_backward(*net.graph, net.loss, request);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] != no_value) net.graph->output(i == 0 ? "dmix" : "dx", gradients[i]);
  }
  return net.graph;
}

/// Everything that a run leaves behind, by name.
std::map<std::string, std::vector<float>> results(PlannedRun& run) {
  run.run();
  std::map<std::string, std::vector<float>> all;
  for (const auto& [name, id] : run.plan().graph().outputs()) {
    const TensorView view = run.output(name);
    EXPECT_TRUE(view.dense());
    all[name].assign(view.f32(), view.f32() + view.elements());
  }
  const auto add = [&](const char* prefix, const ParameterSet& set) {
    for (std::size_t i = 0; i < set.table().specs().size(); ++i) {
      const std::span<const float> values = set.values(static_cast<int>(i));
      all[prefix + set.table().specs()[i].name].assign(values.begin(), values.end());
    }
  };
  add("gradient ", run.gradients());
  add("state ", run.states());
  return all;
}

double norm(std::span<const float> values) {
  double squares = 0.0;
  for (const float v : values)
    squares += static_cast<double>(v) * v;
  return std::sqrt(squares);
}

double distance(std::span<const float> a, std::span<const float> b) {
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i)
    squares += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return std::sqrt(squares);
}

/// The largest norm of a gradient: some are zero but for rounding, such as that of a weight before a batch norm which
/// only scales its channel.
double largest_norm(const std::map<std::string, std::vector<float>>& all) {
  double largest = 0.0;
  for (const auto& [name, values] : all) {
    if (name.starts_with("gradient ")) largest = std::max(largest, norm(values));
  }
  return largest;
}

class FusedCell : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Fusion, FusedCell, ::testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(FusedCell, ComputesWhatPlainNodesCompute) {
  const auto plain_graph = differentiated(GetParam(), false);
  const auto fused_graph = differentiated(GetParam(), true);
  const InputValues inputs(*plain_graph, 7, classes);
  PlannedRun plain_run(plain_graph, inputs);
  PlannedRun fused_run(fused_graph, inputs);
  const auto plain = results(plain_run);
  const auto fused = results(fused_run);
  ASSERT_EQ(fused.size(), plain.size());
  const double floor = 1e-3 * largest_norm(plain);
  double worst = 0.0;
  for (const auto& [name, expected] : plain) {
    const double error = distance(fused.at(name), expected) / std::max(norm(expected), floor);
    worst = std::max(worst, error);
    EXPECT_LT(error, 1e-4) << name;
  }
  RecordProperty("worst", std::to_string(worst));
}

// The slope of the double-precision loss along random directions, for each gradient by itself. A step of 1e-7 leaves
// the slope 1e-9 of rounding, and hardly ever crosses a kink.
TEST_P(FusedCell, GradientsMatchDifferencesInDoublePrecision) {
  const RandomGraph plain = cell_network(GetParam().edges, GetParam().stride, GetParam().size);
  const auto graph = differentiated(GetParam(), true);
  const InputValues inputs(*graph, 7, classes);
  PlannedRun run(graph, inputs);
  auto actual = results(run);
  DoubleRun reference(*plain.graph, inputs, run.weights());
  EXPECT_NEAR(actual.at("loss")[0], reference.run(), 2e-6);
  const double floor = 1e-3 * largest_norm(actual);
  std::map<std::string, std::string> gradients{{"dmix", "mix"}, {"dx", "x"}};
  for (const ParameterSpec& spec : graph->tables().parameters->specs())
    gradients["gradient " + spec.name] = spec.name;
  double worst = 0.0;
  std::uint32_t direction = 0;
  for (const auto& [gradient_name, name] : gradients) {
    if (!actual.contains(gradient_name)) continue;
    const std::vector<float>& gradient = actual.at(gradient_name);
    DoubleRun::Values& values = reference[name];
    const DoubleRun::Values before = values;
    const Philox random(3, Stream::perturbation, direction++);
    const auto sign = [&](std::size_t i) { return random.uniform(i) < 0.5F ? -1.0 : 1.0; };
    double expected = 0.0;
    const auto loss_at = [&](double step) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = before[i] + step * sign(i);
      return reference.run();
    };
    constexpr double step = 1e-7;
    const double slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
    values = before;
    for (std::size_t i = 0; i < gradient.size(); ++i)
      expected += sign(i) * gradient[i];
    const double error = std::abs(slope - expected) / std::max(norm(gradient), floor);
    worst = std::max(worst, error);
    EXPECT_LT(error, 2e-4) << name;
  }
  RecordProperty("worst", std::to_string(worst));
}

TEST_P(FusedCell, RunningStatisticsMatchDoublePrecision) {
  const RandomGraph plain = cell_network(GetParam().edges, GetParam().stride, GetParam().size);
  const auto graph = differentiated(GetParam(), true);
  const InputValues inputs(*graph, 7, classes);
  PlannedRun run(graph, inputs);
  const auto actual = results(run);
  DoubleRun reference(*plain.graph, inputs, run.weights());
  static_cast<void>(reference.run());
  for (const ParameterSpec& spec : graph->tables().states->specs()) {
    const DoubleRun::Values& expected = reference.state(spec.name);
    const std::vector<float>& values = actual.at("state " + spec.name);
    for (std::size_t c = 0; c < expected.size(); ++c)
      ASSERT_NEAR(values[c], expected[c], 2e-5 * std::max(1.0, std::abs(expected[c]))) << spec.name;
  }
}

TEST_P(FusedCell, WhatElseIsWantedChangesNoBit) {
  const auto both_graph = differentiated(GetParam(), true);
  const InputValues inputs(*both_graph, 7, classes);
  PlannedRun both(both_graph, inputs);
  const auto expected = both.results();
  for (const Wanted wanted : {Wanted{true, false}, Wanted{false, true}}) {
    const auto graph = differentiated(GetParam(), true, wanted);
    PlannedRun run(graph, inputs);
    const auto actual = run.results();
    for (const auto& [name, bits] : actual) {
      if (!wanted.parameters && name.starts_with("gradient ")) continue;
      EXPECT_TRUE(bits == expected.at(name)) << name;
    }
  }
}

TEST_P(FusedCell, ComputingAgainChangesNoBit) {
  const auto kept = differentiated(GetParam(), true);
  const InputValues inputs(*kept, 7, classes);
  const auto expected = PlannedRun(kept, inputs).results();
  for (const char* kind : {"separable_bundle", "batch_statistics"}) {
    const auto graph = differentiated(GetParam(), true, {}, kind);
    EXPECT_TRUE(PlannedRun(graph, inputs).results() == expected) << kind;
  }
}

TEST_P(FusedCell, PlannedMemoryChangesNoBitNorDoThreads) {
  const auto graph = differentiated(GetParam(), true);
  const InputValues inputs(*graph, 7, classes);
  const auto expected = UnsharedRun(*graph, inputs).results();
  for (const int threads : {1, 3}) {
    const auto actual = PlannedRun(graph, inputs, threads).results();
    for (const auto& [name, bits] : expected)
      EXPECT_TRUE(actual.at(name) == bits) << name << " with " << threads;
  }
}

TEST_P(FusedCell, AllocatesNothingInARun) {
  const auto graph = differentiated(GetParam(), true);
  const InputValues inputs(*graph, 7, classes);
  PlannedRun run(graph, inputs, 2);
  run.run();
  const std::int64_t before = test::allocations();
  run.executor().run();
  EXPECT_EQ(test::allocations(), before);
}

TEST(Fusion, AStepComputesNothingThatIsNotWanted) {
  const Case c{"normal", dense_edges(2, darts_candidates), 1};
  const auto outputs_by_kind = [&](Wanted wanted) {
    const auto graph = differentiated(c, true, wanted);
    std::map<std::string, std::size_t, std::less<>> outputs;
    for (const Node& node : graph->nodes())
      outputs[std::string(node.op->kind())] += node.outputs.size();
    return outputs;
  };
  const auto both = outputs_by_kind({true, true});
  const auto weights = outputs_by_kind({true, false});
  const auto mixing = outputs_by_kind({false, true});
  // Rows for each of 30 normalised terms, and dmix, of the two nodes.
  EXPECT_EQ(both.at("node_reduction_backward"), 30U + 2);
  EXPECT_EQ(weights.at("node_reduction_backward"), 30U);
  EXPECT_FALSE(weights.contains("weighted_sum_backward_weights"));
  // dx of 13 bundles, rows of 10 sources, two weights for each of 30 terms.
  EXPECT_EQ(both.at("separable_bundle_backward"), 13U + 10 + 60);
  EXPECT_EQ(mixing.at("separable_bundle_backward"), 13U + 10);
}

}  // namespace
}  // namespace dnas::engine
