#include "dnas/engine/plan.hpp"

#include "dnas/engine/autodiff.hpp"
#include "engine/graph_runs.hpp"
#include "engine/random_graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace dnas::engine {
namespace {

using test_graphs::InputValues;
using test_graphs::Kinds;
using test_graphs::PlannedRun;
using test_graphs::random_graph;
using test_graphs::RandomGraph;
using test_graphs::UnsharedRun;
using ::testing::IsEmpty;

/// Appends the gradients and names those of the inputs.
void differentiate(const RandomGraph& random, bool parameters, bool inputs) {
  GradientRequest request{.parameters = parameters, .inputs = {}};
  if (inputs) request.inputs = {random.x, random.mix};
  const std::vector<ValueId> gradients = append_backward(*random.graph, random.loss, request);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] != no_value) random.graph->output("gradient" + std::to_string(i), gradients[i]);
  }
}

using Results = std::map<std::string, std::string>;

/// Names of the results that differ or are on one side only.
std::vector<std::string> differences(const Results& a, const Results& b) {
  std::vector<std::string> names;
  for (const auto& [name, bits] : a) {
    if (const auto it = b.find(name); it == b.end() || it->second != bits) names.push_back(name);
  }
  for (const auto& [name, bits] : b) {
    if (!a.contains(name)) names.push_back(name);
  }
  return names;
}

void expect_same_as_unshared(const RandomGraph& random, std::uint64_t seed) {
  const InputValues inputs(*random.graph, seed, test_graphs::classes);
  const auto expected = UnsharedRun(*random.graph, inputs).results();
  for (const int threads : {1, 2, 3}) {
    PlannedRun run(random.graph, inputs, threads);
    EXPECT_THAT(differences(run.results(), expected), IsEmpty()) << threads << " threads";
    if (threads > 1) continue;
    EXPECT_THAT(differences(run.results(), expected), IsEmpty()) << "again";
  }
}

class RandomGraphs : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Plan, RandomGraphs, ::testing::Range<std::uint64_t>(0, 16));

TEST_P(RandomGraphs, ForwardEqualsARunWithoutSharing) {
  expect_same_as_unshared(random_graph(GetParam()), GetParam());
}

TEST_P(RandomGraphs, EvaluationEqualsARunWithoutSharing) {
  expect_same_as_unshared(random_graph(GetParam(), Mode::eval), GetParam());
}

TEST_P(RandomGraphs, WeightGradientsEqualARunWithoutSharing) {
  const RandomGraph random = random_graph(GetParam());
  differentiate(random, true, false);
  expect_same_as_unshared(random, GetParam());
}

TEST_P(RandomGraphs, InputGradientsEqualARunWithoutSharing) {
  const RandomGraph random = random_graph(GetParam());
  differentiate(random, false, true);
  expect_same_as_unshared(random, GetParam());
}

TEST_P(RandomGraphs, BothGradientsEqualARunWithoutSharing) {
  const RandomGraph random = random_graph(GetParam(), Mode::train, 25);
  differentiate(random, true, true);
  expect_same_as_unshared(random, GetParam());
}

class GraphsOfAllKinds : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Plan, GraphsOfAllKinds, ::testing::Range<std::uint64_t>(0, 40));

TEST_P(GraphsOfAllKinds, BothGradientsEqualARunWithoutSharing) {
  const RandomGraph random = random_graph(GetParam(), Mode::train, 30, Kinds::all);
  differentiate(random, true, true);
  expect_same_as_unshared(random, GetParam());
}

TEST_P(GraphsOfAllKinds, EvaluationEqualsARunWithoutSharing) {
  expect_same_as_unshared(random_graph(GetParam(), Mode::eval, 30, Kinds::all), GetParam());
}

}  // namespace
}  // namespace dnas::engine
