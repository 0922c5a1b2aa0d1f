#include "dnas/engine/fusion.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/mixed_cell.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::cell_network;
using test_graphs::CellEdge;
using test_graphs::darts_candidates;
using test_graphs::dense_edges;
using test_graphs::random_graph;
using test_graphs::RandomGraph;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Counts = std::map<std::string, std::size_t, std::less<>>;

Counts kinds(const Graph& graph) {
  Counts counts;
  for (const Node& node : graph.nodes())
    ++counts[std::string(node.op->kind())];
  return counts;
}

std::size_t fused_nodes(const Graph& graph) {
  const Counts counts = kinds(graph);
  std::size_t sum = 0;
  for (const char* kind : {"separable_bundle", "batch_statistics", "node_reduction"}) {
    if (const auto it = counts.find(kind); it != counts.end()) sum += it->second;
  }
  return sum;
}

/// Terms of the bundles of a graph, in order.
std::vector<std::size_t> bundle_terms(const Graph& graph) {
  std::vector<std::size_t> terms;
  for (const Node& node : graph.nodes()) {
    if (node.op->kind() == "separable_bundle") terms.push_back(node.outputs.size() / 2);
  }
  return terms;
}

/// What a body between x [2, 6, 6, 3] and the output "y" becomes. mix is [6].
struct Body {
  Graph graph{Mode::train, {}};
  ValueId x = graph.input("x", Shape{2, 6, 6, 3});
  ValueId mix = graph.input("mix", Shape{6});

  ValueId chain(ValueId from, const std::string& name, const kernels::DepthwiseConv& conv = {},
                const kernels::PointwiseConv& pointwise = {}, bool affine = false) {
    const ValueId d = nodes::depthwise_conv(graph, nodes::relu(graph, from), name + ".dw", conv);
    return nodes::batch_norm(graph, nodes::pointwise_conv(graph, d, name + ".pw", 3, pointwise), name + ".bn", affine);
  }
  ValueId sum(const std::vector<ValueId>& terms) {
    std::vector<nodes::Term> weighted;
    weighted.reserve(terms.size());
    for (const ValueId id : terms)
      weighted.push_back({id, static_cast<std::int32_t>(weighted.size() % 6)});
    return nodes::weighted_sum(graph, weighted, mix);
  }
  [[nodiscard]] Counts fused(ValueId y) {
    graph.output("y", y);
    return kinds(*fuse_mixed_operations(graph).graph);
  }
};

TEST(Fusion, ANormalDartsCellBecomesOneBundleForEachState) {
  const RandomGraph net = cell_network(dense_edges(4, darts_candidates), 1);
  const std::shared_ptr<Graph> graph = fuse_mixed_operations(*net.graph).graph;
  const Graph& fused = *graph;
  const Counts counts = kinds(fused);
  // 14 edges: 4 from each of the states 0, 1 and 2 less one, 2 and 1 from 3 and 4. Four chains start on an edge, two
  // of them go on.
  EXPECT_EQ(counts.at("separable_bundle"), 5U + 2 * 14);
  std::vector<std::size_t> terms = bundle_terms(fused);
  std::ranges::sort(terms, std::greater());
  terms.resize(6);
  EXPECT_THAT(terms, ElementsAre(16, 16, 12, 8, 4, 1));
  EXPECT_EQ(counts.at("batch_statistics"), 2U * 5);  // of two pools of five states
  EXPECT_EQ(counts.at("node_reduction"), 4U);
  EXPECT_FALSE(counts.contains("weighted_sum"));
  EXPECT_EQ(counts.at("pointwise_conv"), 2U);  // before the cell
  EXPECT_EQ(counts.at("depthwise_conv"), 1U);  // behind the cell
  EXPECT_EQ(counts.at("batch_norm"), 3U);      // before it
  EXPECT_EQ(counts.at("relu"), 1U);
  EXPECT_EQ(counts.at("max_pool"), 5U);
}

TEST(Fusion, AReductionCellHasBundlesOfBothStrides) {
  const RandomGraph net = cell_network(dense_edges(2, darts_candidates), 2);
  const std::shared_ptr<Graph> graph = fuse_mixed_operations(*net.graph).graph;
  const Graph& fused = *graph;
  const Counts counts = kinds(fused);
  // Edges: 2 from each of the inputs, with stride 2, and one between the nodes.
  EXPECT_EQ(counts.at("separable_bundle"), 2U + 1 + 2 * 5);
  // The pools of three states, and a factorised reduction on each of the four strided edges.
  EXPECT_EQ(counts.at("batch_statistics"), 2U * 3 + 4);
  EXPECT_EQ(counts.at("batch_norm"), 3U);
  EXPECT_EQ(counts.at("relu"), 3U);  // before the preprocessing, and those that the factorised reductions read too
  EXPECT_EQ(counts.at("concat"), 5U);
}

TEST(Fusion, ASecondStageReadsTheFirstUnnormalised) {
  Body body;
  const ValueId first = body.chain(body.x, "1");
  body.graph.output("y", body.sum({body.chain(first, "2")}));
  const std::shared_ptr<Graph> graph = fuse_mixed_operations(body.graph).graph;
  const Graph& fused = *graph;
  ASSERT_EQ(fused.nodes().size(), 3U);
  const auto& nodes = fused.nodes();
  EXPECT_EQ(nodes[0].op->kind(), "separable_bundle");
  EXPECT_EQ(nodes[0].inputs[1], no_value);
  EXPECT_EQ(nodes[1].op->kind(), "separable_bundle");
  EXPECT_THAT(std::span(nodes[1].inputs).first(2), ElementsAre(nodes[0].outputs[0], nodes[0].outputs[1]));
  EXPECT_EQ(nodes[2].op->kind(), "node_reduction");
  EXPECT_THAT(std::span(nodes[2].inputs).subspan(1), ElementsAre(nodes[1].outputs[0], nodes[1].outputs[1]));
}

TEST(Fusion, BatchNormsOfOnePoolShareItsStatistics) {
  Body body;
  const ValueId pool = nodes::max_pool(body.graph, body.x, {});
  std::vector<ValueId> terms(70);
  for (std::size_t e = 0; e < terms.size(); ++e)
    terms[e] = nodes::batch_norm(body.graph, pool, "bn" + std::to_string(e), false);
  const Counts counts = body.fused(body.sum(terms));
  EXPECT_EQ(counts, (Counts{{"max_pool", 1}, {"batch_statistics", 2}, {"node_reduction", 1}}));
}

TEST(Fusion, ABundleTakesNoMoreThanItsLimit) {
  Body body;
  std::vector<ValueId> terms(130);
  for (std::size_t k = 0; k < terms.size(); ++k)
    terms[k] = body.chain(body.x, std::to_string(k), {.kernel = 1, .padding = 0});
  body.graph.output("y", body.sum(terms));
  EXPECT_THAT(bundle_terms(*fuse_mixed_operations(body.graph).graph), ElementsAre(64, 64, 2));
}

TEST(Fusion, TermsOfABundleYieldOneExtent) {
  Body body;
  const ValueId wide = body.sum({body.chain(body.x, "a"), body.chain(body.x, "b", {.kernel = 5, .padding = 2})});
  const ValueId narrow = body.sum({body.chain(body.x, "c", {.kernel = 3, .padding = 0})});
  const ValueId strided = body.sum({body.chain(body.x, "d", {.kernel = 3, .stride = 2})});
  body.graph.output("wide", wide);
  body.graph.output("narrow", narrow);
  EXPECT_EQ(body.fused(strided), (Counts{{"separable_bundle", 3}, {"node_reduction", 3}}));
}

TEST(Fusion, ChainsThatABundleCannotComputeStay) {
  const auto counts = [](const auto& make) {
    Body body;
    const ValueId y = make(body);
    return body.fused(y);
  };
  const Counts plain{
      {"relu", 1}, {"depthwise_conv", 1}, {"pointwise_conv", 1}, {"batch_statistics", 1}, {"node_reduction", 1}};
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {.kernel = 9, .padding = 4})}); }), plain);
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {.kernel = 3, .stride = 3})}); }), plain);
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {.kernel = 3, .padding = 3})}); }), plain);
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {}, {.stride = 2, .offset = 0})}); }), plain);
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {}, {.stride = 1, .offset = 1})}); }), plain);
  EXPECT_EQ(counts([](Body& b) { return b.sum({b.chain(b.x, "a", {}, {.groups = 3})}); }), plain);
  EXPECT_EQ(
      counts([](Body& b) { return b.sum({b.chain(b.x, "a", {}, {}, true)}); }),
      (Counts{{"relu", 1}, {"depthwise_conv", 1}, {"pointwise_conv", 1}, {"batch_norm", 1}, {"weighted_sum", 1}}));
}

TEST(Fusion, BatchNormsOfOtherSettingsStay) {
  for (const kernels::BatchNorm settings :
       {kernels::BatchNorm{.epsilon = 1e-3F}, kernels::BatchNorm{.momentum = 0.2F}}) {
    Body body;
    const ValueId d = nodes::depthwise_conv(body.graph, nodes::relu(body.graph, body.x), "dw", {});
    const ValueId p = nodes::pointwise_conv(body.graph, d, "pw", 3);
    const ValueId y = nodes::batch_norm(body.graph, p, "a", false, settings);
    const ValueId z = nodes::batch_norm(body.graph, nodes::max_pool(body.graph, body.x, {}), "b", false, settings);
    const Counts counts = body.fused(body.sum({y, z}));
    EXPECT_EQ(counts.at("batch_norm"), 2U);
    EXPECT_EQ(counts.at("weighted_sum"), 1U);
    EXPECT_EQ(fused_nodes(*fuse_mixed_operations(body.graph).graph), 0U);
  }
}

TEST(Fusion, WhatSomebodyElseReadsStays) {
  const Counts unfused{{"relu", 1}, {"depthwise_conv", 1}, {"pointwise_conv", 1}, {"batch_norm", 1}};
  const auto contains_unfused = [&](const Counts& counts) {
    return std::ranges::all_of(unfused, [&](const auto& kind) { return counts.contains(kind.first); });
  };
  {
    Body body;  // the result is read twice by the sum
    const ValueId y = body.chain(body.x, "a");
    EXPECT_TRUE(contains_unfused(body.fused(body.sum({y, y}))));
  }
  {
    Body body;  // by a sum and something else
    const ValueId y = body.chain(body.x, "a");
    body.graph.output("pool", nodes::max_pool(body.graph, y, {}));
    EXPECT_TRUE(contains_unfused(body.fused(body.sum({y}))));
  }
  {
    Body body;  // by nobody but a concatenation
    EXPECT_TRUE(contains_unfused(body.fused(body.graph.concat(std::array{body.chain(body.x, "a"), body.x}))));
  }
  {
    Body body;  // a value in the middle
    const ValueId y = body.chain(body.x, "a");
    const ValueId d = nodes::depthwise_conv(body.graph, nodes::relu(body.graph, body.x), "a.dw", {});
    body.graph.output("pool", nodes::max_pool(body.graph, d, {}));
    const Counts counts = body.fused(body.sum({y}));
    EXPECT_EQ(counts.at("depthwise_conv"), 1U);
    EXPECT_EQ(counts.at("pointwise_conv"), 1U);
    EXPECT_FALSE(counts.contains("separable_bundle"));
  }
  {
    Body body;  // the batch norm's states
    const ValueId y = body.chain(body.x, "a");
    const ValueId again = nodes::batch_norm(body.graph, nodes::max_pool(body.graph, body.x, {}), "a.bn", false);
    const Counts counts = body.fused(body.sum({y, again}));
    EXPECT_EQ(counts.at("batch_norm"), 2U);
    EXPECT_EQ(counts.at("weighted_sum"), 1U);
  }
  {
    Body body;  // as weights
    const ValueId w = nodes::batch_norm(body.graph, nodes::max_pool(body.graph, body.x, {}), "w", false);
    const nodes::Term terms[] = {{body.x, 0}};
    EXPECT_EQ(body.fused(nodes::weighted_sum(body.graph, terms, w)).at("batch_norm"), 1U);
  }
  {
    Body body;  // the relu: it stays beside the bundle
    body.graph.output("relu", nodes::relu(body.graph, body.x));
    EXPECT_EQ(body.fused(body.sum({body.chain(body.x, "a")})),
              (Counts{{"relu", 1}, {"separable_bundle", 1}, {"node_reduction", 1}}));
  }
  {
    Body body;  // a first stage that a pool reads too is stored
    const ValueId first = body.chain(body.x, "1");
    body.graph.output("pool", nodes::max_pool(body.graph, first, {}));
    const Counts counts = body.fused(body.sum({body.chain(first, "2")}));
    EXPECT_EQ(counts.at("batch_norm"), 1U);
    EXPECT_EQ(counts.at("separable_bundle"), 1U);
  }
}

TEST(Fusion, OutputsOfTheGraphSurvive) {
  for (const char* named : {"relu", "depthwise_conv", "pointwise_conv", "batch_norm"}) {
    Body body;
    const ValueId y = body.chain(body.x, "1");
    const ValueId z = body.chain(y, "2");
    const ValueId sum = body.sum({z});
    body.graph.output("y", sum);
    ValueId kept = no_value;
    for (const Node& node : body.graph.nodes()) {
      if (node.op->kind() == named) kept = node.outputs[0];  // of the second stage
    }
    body.graph.output("kept", kept);
    const FusedGraph fused = fuse_mixed_operations(body.graph);
    EXPECT_EQ(fused.graph->output("kept"), fused.at(kept));
    EXPECT_EQ(fused.graph->output("y"), fused.at(sum));
    const auto computes = [&](const Node& node) {
      return node.outputs[0] == fused.at(kept) && node.op->kind() == std::string_view(named);
    };
    EXPECT_TRUE(std::ranges::any_of(fused.graph->nodes(), computes)) << named;
    EXPECT_EQ(fused.graph->shape(fused.at(kept)), body.graph.shape(kept));
  }
}

TEST(Fusion, InputsParametersAndStatesKeepNamesAndOrder) {
  const RandomGraph net = cell_network(dense_edges(2, darts_candidates), 2);
  const FusedGraph fused = fuse_mixed_operations(*net.graph);
  EXPECT_EQ(fused.graph->tables().parameters, net.graph->tables().parameters);
  EXPECT_EQ(fused.graph->tables().states, net.graph->tables().states);
  EXPECT_THAT(fused.graph->inputs(), ::testing::ElementsAreArray(net.graph->inputs()));
  for (std::size_t id = 0; id < net.graph->values().size(); ++id) {
    const Value& before = net.graph->values()[id];
    if (before.storage == Storage::arena) continue;
    const Value& after = fused.graph->value(fused.values[id]);
    EXPECT_EQ(after.storage, before.storage);
    EXPECT_EQ(after.slot, before.slot);
    EXPECT_EQ(after.type, before.type);
  }
}

TEST(Fusion, EvaluationIsLeftAlone) {
  const RandomGraph net = cell_network(dense_edges(2, darts_candidates), 2, {}, Mode::eval);
  const FusedGraph fused = fuse_mixed_operations(*net.graph);
  ASSERT_EQ(fused.graph->nodes().size(), net.graph->nodes().size());
  for (std::size_t i = 0; i < net.graph->nodes().size(); ++i) {
    EXPECT_EQ(fused.graph->nodes()[i].op, net.graph->nodes()[i].op);
    EXPECT_EQ(fused.graph->nodes()[i].inputs, net.graph->nodes()[i].inputs);
  }
  EXPECT_EQ(fused.at(net.loss), net.loss);
}

TEST(Fusion, AGraphWithNothingToFuseIsTheSame) {
  int same = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const RandomGraph random = random_graph(seed);
    const FusedGraph fused = fuse_mixed_operations(*random.graph);
    if (fused_nodes(*fused.graph) > 0) continue;
    ++same;
    ASSERT_EQ(fused.graph->nodes().size(), random.graph->nodes().size());
    for (std::size_t i = 0; i < random.graph->nodes().size(); ++i) {
      const Node& before = random.graph->nodes()[i];
      const Node& after = fused.graph->nodes()[i];
      EXPECT_EQ(after.op->kind(), before.op->kind());
      EXPECT_EQ(after.op->key(), before.op->key());
      for (std::size_t k = 0; k < before.inputs.size(); ++k)
        EXPECT_EQ(after.inputs[k], before.inputs[k] == no_value ? no_value : fused.at(before.inputs[k]));
      for (std::size_t k = 0; k < before.outputs.size(); ++k) {
        const Value& old_value = random.graph->value(before.outputs[k]);
        const Value& new_value = fused.graph->value(after.outputs[k]);
        EXPECT_EQ(new_value.type, old_value.type);
        EXPECT_EQ(new_value.channel_offset, old_value.channel_offset);
        EXPECT_EQ(new_value.shares, old_value.shares == no_value ? no_value : fused.at(old_value.shares));
      }
    }
  }
  EXPECT_GT(same, 20);
}

TEST(Fusion, NodesStillMergeAfterwards) {
  Body body;
  const ValueId pool = nodes::max_pool(body.graph, body.x, {});
  body.graph.output("y", body.sum({nodes::batch_norm(body.graph, pool, "bn", false), body.x}));
  const FusedGraph fused = fuse_mixed_operations(body.graph);
  const std::size_t before = fused.graph->nodes().size();
  EXPECT_EQ(nodes::max_pool(*fused.graph, fused.at(body.x), {}), fused.at(pool));
  EXPECT_EQ(fused.graph->nodes().size(), before);
}

TEST(Fusion, ComesBeforeTheBackwardPass) {
  const RandomGraph net = cell_network(dense_edges(1, darts_candidates), 1);
  (void)append_backward(*net.graph, net.loss, {.parameters = true});
  EXPECT_THAT(message_of<Error>([&] { (void)fuse_mixed_operations(*net.graph); }),
              HasSubstr("computes gradients already"));
}

}  // namespace
}  // namespace dnas::engine
