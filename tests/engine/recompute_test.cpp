#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/graph_runs.hpp"
#include "engine/random_graph.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace dnas::engine {
namespace {

using test_graphs::InputValues;
using test_graphs::PlannedRun;
using test_graphs::random_graph;
using test_graphs::RandomGraph;

/// Nodes of a kind that are not computed into a slice of a wider tensor: sums over slices group their terms otherwise.
std::set<std::size_t> nodes_of_kind(const Graph& graph, std::string_view kind) {
  std::set<std::size_t> nodes;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.op->kind() == kind && graph.value(node.outputs[0]).shares == no_value) nodes.insert(i);
  }
  return nodes;
}

/// Gradients of everything, the nodes of one kind recomputed or not.
RandomGraph differentiated(std::uint64_t seed, std::string_view recomputed_kind) {
  RandomGraph random = random_graph(seed);
  GradientRequest request{.parameters = true, .inputs = {random.x, random.mix}, .recompute = {}};
  request.recompute = nodes_of_kind(*random.graph, recomputed_kind);
  const std::vector<ValueId> gradients = append_backward(*random.graph, random.loss, request);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] != no_value) random.graph->output("gradient" + std::to_string(i), gradients[i]);
  }
  return random;
}

class Recompute : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Graphs, Recompute, ::testing::Range<std::uint64_t>(0, 16));

TEST_P(Recompute, ChangesNoBit) {
  const RandomGraph kept = differentiated(GetParam(), "none");
  const RandomGraph again = differentiated(GetParam(), "batch_norm");
  const InputValues inputs(*kept.graph, GetParam(), test_graphs::classes);
  const auto expected = PlannedRun(kept.graph, inputs).results();
  const auto actual = PlannedRun(again.graph, inputs).results();
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, bits] : expected)
    EXPECT_TRUE(actual.at(name) == bits) << name;
}

TEST(Recompute, RunsANodeTwiceButMovesItsStatisticsOnce) {
  std::size_t repeated = 0;
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    const RandomGraph kept = differentiated(seed, "none");
    const RandomGraph again = differentiated(seed, "batch_norm");
    const std::size_t before = nodes_of_kind(*kept.graph, "batch_norm").size();
    const std::set<std::size_t> nodes = nodes_of_kind(*again.graph, "batch_norm");
    repeated += nodes.size() - before;
    const auto moving = std::count_if(nodes.begin(), nodes.end(), [&](std::size_t i) {
      const std::vector<ValueId>& in = again.graph->nodes()[i].inputs;
      return std::any_of(in.begin(), in.end(), [&](ValueId id) {
        return id != no_value && again.graph->value(id).storage == Storage::state;
      });
    });
    EXPECT_EQ(static_cast<std::size_t>(moving), before);
  }
  EXPECT_GT(repeated, 10U);
}

TEST(Recompute, RefusesWhatMustNotRunTwice) {
  const RandomGraph random = random_graph(0);
  GradientRequest request{.parameters = true, .inputs = {}, .recompute = nodes_of_kind(*random.graph, "cross_entropy")};
  EXPECT_THAT(test::message_of<UnsupportedError>([&] { append_backward(*random.graph, random.loss, request); }),
              ::testing::HasSubstr("cross_entropy, which must not run twice"));
  request.recompute = {random.graph->nodes().size()};
  EXPECT_THAT(test::message_of<Error>([&] { append_backward(*random.graph, random.loss, request); }),
              ::testing::HasSubstr("to recompute"));
}

}  // namespace
}  // namespace dnas::engine
