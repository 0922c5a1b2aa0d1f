#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "support/throws.hpp"

#include <array>
#include <string>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::bytes_of;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::differentiate;
using test_graphs::expect_right_gradients;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using test_graphs::RandomGraph;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Channels first.. of dense pixels of `channels` channels.
std::vector<float> channels_of(const std::vector<float>& x, std::size_t channels, std::size_t first,
                               std::size_t count) {
  std::vector<float> part;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % channels >= first && i % channels < first + count) part.push_back(x[i]);
  }
  return part;
}

TEST(Slice, IsThoseChannelsInTheSameMemory) {
  const auto graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
  Graph& g = *graph;
  const ValueId x = g.input("x", Shape{2, 3, 4, 7});
  const ValueId y = nodes::avg_pool(g, x, {});
  const ValueId whole = g.concat(std::array{nodes::max_pool(g, x, {}), y});  // y lives in it
  g.output("of x", nodes::slice(g, x, 2, 4));
  g.output("y", y);
  g.output("of y", nodes::slice(g, y, 6, 1));
  g.output("whole", whole);
  const ValueId across = nodes::slice(g, whole, 5, 8);
  g.output("across", across);
  g.output("inner", nodes::slice(g, across, 1, 3));
  const InputValues inputs(g, 1, classes);
  PlannedRun run(graph, inputs);
  run.run();
  const auto offset = [&](const char* part, const char* of) { return run.output(part).f32() - run.output(of).f32(); };
  EXPECT_EQ(run.output("of x").f32() - inputs["x"].f32(), 2);
  EXPECT_EQ(offset("of y", "y"), 6);
  EXPECT_EQ(offset("across", "whole"), 5);
  EXPECT_EQ(offset("inner", "whole"), 6);
  EXPECT_EQ(copy_of(run.output("of x")), channels_of(copy_of(inputs["x"]), 7, 2, 4));
  EXPECT_EQ(copy_of(run.output("of y")), channels_of(copy_of(run.output("y")), 7, 6, 1));
  const std::vector<float> all = copy_of(run.output("whole"));
  EXPECT_EQ(copy_of(run.output("across")), channels_of(all, 14, 5, 8));
  EXPECT_EQ(copy_of(run.output("inner")), channels_of(all, 14, 6, 3));
}

TEST(Slice, EqualSlicesAreOneNodeAndAllChannelsAreNone) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{1, 2, 2, 6});
  EXPECT_EQ(nodes::slice(graph, x, 1, 3), nodes::slice(graph, x, 1, 3));
  EXPECT_NE(nodes::slice(graph, x, 1, 3), nodes::slice(graph, x, 1, 2));
  EXPECT_NE(nodes::slice(graph, x, 1, 3), nodes::slice(graph, x, 2, 3));
  EXPECT_EQ(nodes::slice(graph, x, 0, 6), x);
}

TEST(Slice, RefusesChannelsThatAreNotThere) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{1, 2, 2, 6});
  const auto refusal = [&](ValueId of, std::int64_t first, std::int64_t channels) {
    return message_of<ShapeError>([&] { (void)nodes::slice(graph, of, first, channels); });
  };
  EXPECT_THAT(refusal(x, 4, 3), AllOf(HasSubstr("3 channels from channel 4 on"), HasSubstr("[1, 2, 2, 6]")));
  EXPECT_THAT(refusal(x, -1, 3), HasSubstr("from channel -1 on"));
  EXPECT_THAT(refusal(x, 2, 0), HasSubstr("0 channels"));
  EXPECT_THAT(refusal(graph.input("m", Shape{2, 6}), 0, 2), HasSubstr("x is [2, 6], expected [N, H, W, C]"));
}

/// Only the middle one of three channels is read.
TEST(Slice, ChannelsThatNobodyReadsHaveGradientZero) {
  const RandomGraph net = network([](Graph& g, ValueId x, ValueId) { return nodes::slice(g, x, 1, 1); });
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();
  const std::vector<float> dx = copy_of(run.output("dx"));
  double read = 0.0;
  for (std::size_t i = 0; i < dx.size(); ++i) {
    if (i % 3 == 1) {
      read += std::abs(static_cast<double>(dx[i]));
    } else {
      EXPECT_EQ(dx[i], 0.0F) << i;
    }
  }
  EXPECT_GT(read, 1e-3);
}

TEST(Slice, GradientOfOneSliceMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) { return nodes::slice(g, x, 1, 2); }));
}

TEST(Slice, GradientsOfSeveralSlicesAndOfTheWholeAddUp) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId mix) {
    const ValueId y = nodes::pointwise_conv(g, x, "y", 7, {});
    const nodes::Term terms[] = {{nodes::slice(g, y, 0, 3), 0},
                                 {nodes::slice(g, y, 2, 3), 1},
                                 {nodes::pointwise_conv(g, y, "w", 3, {}), 2},
                                 {nodes::slice(g, nodes::slice(g, y, 1, 5), 2, 3), 3},
                                 {nodes::depthwise_conv(g, nodes::slice(g, y, 4, 3), "d", {}), 4},
                                 {nodes::max_pool(g, nodes::slice(g, y, 0, 3), {}), 5}};
    return nodes::weighted_sum(g, terms, mix);
  }));
}

TEST(Slice, GradientsOfSlicesOfAConcatenationMatchDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId mix) {
    const ValueId a = nodes::batch_norm(g, x, "a", true);
    const ValueId b = nodes::avg_pool(g, x, {});
    const ValueId whole = g.concat(std::array{a, b, x});
    const ValueId across = nodes::slice(g, whole, 2, 3);
    const ValueId of_part = nodes::slice(g, b, 0, 2);
    // Slices are read, sliced again, and copied into another concatenation.
    const ValueId again = g.concat(std::array{of_part, nodes::slice(g, across, 1, 1)});
    const nodes::Term terms[] = {
        {across, 0}, {nodes::relu(g, again), 1}, {a, 2}, {nodes::conv(g, whole, "c", 3, {}), 3}};
    return nodes::weighted_sum(g, terms, mix);
  }));
}

TEST(Slice, HalvesTakeDifferentWays) {  // as partial channel connections do
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const ValueId y = nodes::batch_norm(g, nodes::conv(g, x, "y", 8, {}), "bn", true);
    const ValueId first = nodes::batch_norm(g, nodes::conv(g, nodes::slice(g, y, 0, 2), "f", 2, {}), "fbn", false);
    return nodes::channel_shuffle(g, g.concat(std::array{first, nodes::slice(g, y, 2, 6)}), 4);
  }));
}

TEST(Slice, OfAResultThatIsComputedAgainIsOneOfTheSecond) {
  const auto build = [](bool recompute) {
    const RandomGraph net = network([](Graph& g, ValueId x, ValueId mix) {
      const ValueId y = nodes::batch_norm(g, nodes::conv(g, x, "y", 6, {}), "bn", true);
      const nodes::Term terms[] = {{nodes::slice(g, y, 0, 3), 0}, {nodes::slice(g, nodes::slice(g, y, 1, 5), 2, 3), 1}};
      return nodes::weighted_sum(g, terms, mix);
    });
    GradientRequest request{.parameters = true, .inputs = {net.x, net.mix}, .recompute = {}};
    for (std::size_t i = 0; recompute && i < net.graph->nodes().size(); ++i) {
      if (net.graph->nodes()[i].op->kind() == "batch_norm") request.recompute.insert(i);
    }
    const std::vector<ValueId> gradients = append_backward(*net.graph, net.loss, request);
    net.graph->output("dx", gradients[0]);
    net.graph->output("dmix", gradients[1]);
    return net.graph;
  };
  const auto kept = build(false);
  const auto again = build(true);
  const InputValues inputs(*kept, 7, classes);
  PlannedRun expected(kept, inputs);
  PlannedRun actual(again, inputs);
  EXPECT_EQ(actual.results(), expected.results());
  // The first result is not kept for its slices: no slice in the backward pass reads it.
  std::size_t batch_norms = 0;
  std::size_t slices = 0;
  ValueId last = no_value;
  for (const std::size_t i : actual.plan().nodes()) {
    const Node& node = again->nodes()[i];
    if (node.op->kind() == "batch_norm") {
      ++batch_norms;
      last = node.outputs[0];
    }
    if (node.op->kind() == "slice" && again->value(node.outputs[0]).shares == last && batch_norms == 2) ++slices;
  }
  EXPECT_EQ(batch_norms, 2U);
  EXPECT_EQ(slices, 2U);
}

}  // namespace
}  // namespace dnas::engine
