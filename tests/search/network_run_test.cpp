#include "search/execution.hpp"
#include "search/networks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace dnas::search {
namespace {

using namespace testing_networks;

NetworkConfig small_network(int layers) {
  NetworkConfig config;
  config.init_channels = 4;
  config.layers = layers;
  config.batch = 2;
  config.image = {8, 8, 3};
  return config;
}

float image_value(std::size_t i) {
  return std::sin(static_cast<float>(i * i % 1009));
}

/// Runs a network on images without symmetry, with the given value in all mixing weights.
Execution run_network(Built built, float mixing) {
  built.graph->output("logits", built.values.logits);
  for (const engine::Node& node : built.graph->nodes()) {
    if (node.op->kind() == "global_avg_pool") built.graph->output("last_cell", node.inputs[0]);
  }
  return {std::move(built.graph), [&](const std::string& input, std::span<float> values) {
            for (std::size_t i = 0; i < values.size(); ++i) {
              values[i] = input == "images" ? image_value(i) : mixing;
            }
          }};
}

// Zero weights make every node zero, batch norms keep zero, and the classifier adds its bias.
TEST(NetworkRun, SupernetWithZeroMixingWeightsGivesTheBias) {
  const auto darts = make_space("darts");
  const Execution run = run_network(build_supernet(*darts, small_network(3)), 0.0f);
  const TensorView logits = run.output("logits");
  ASSERT_EQ(logits.shape, (Shape{2, 10}));
  const std::span<const float> bias = run.weight("classifier.bias");
  for (std::int64_t i = 0; i < logits.elements(); ++i)
    EXPECT_EQ(logits.f32()[i], bias[static_cast<std::size_t>(i % 10)]);
}

TEST(NetworkRun, MixingWeightsReachTheLogits) {
  const auto darts = make_space("darts");
  const Execution run = run_network(build_supernet(*darts, small_network(3)), 0.125f);
  const TensorView logits = run.output("logits");
  const std::span<const float> bias = run.weight("classifier.bias");
  for (std::int64_t i = 0; i < logits.elements(); ++i) {
    EXPECT_TRUE(std::isfinite(logits.f32()[i]));
    EXPECT_NE(logits.f32()[i], bias[static_cast<std::size_t>(i % 10)]);
  }
}

// One weight alone, at [edge, candidate], makes the edge's node the only one that is not zero, provided that the edge
// comes from a cell input (other nodes are zero) and the candidate is not none.
TEST(NetworkRun, EachMixingWeightBelongsToItsEdgeAndCandidate) {
  const auto darts = make_space("darts");
  const ChoiceGroup& group = darts->choice_groups()[1];
  Built built = build_supernet(*darts, small_network(1));  // one cell, a reduction, of 4 nodes with 8 channels
  const std::shared_ptr<engine::Graph> graph = std::move(built.graph);
  for (const engine::Node& node : graph->nodes()) {
    if (node.op->kind() == "global_avg_pool") graph->output("cell", node.inputs[0]);
  }
  for (std::size_t weight = 0; weight < 14 * 8; ++weight) {
    const Execution run(graph, [&](const std::string& input, std::span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = input == "images" ? image_value(i) : (input == "mix_reduce" && i == weight ? 1.0f : 0.0f);
      }
    });
    const TensorView cell = run.output("cell");
    ASSERT_EQ(cell.channels(), 4 * 8);
    bool is_zero[4] = {true, true, true, true};
    for (std::int64_t pixel = 0; pixel < cell.pixels(); ++pixel) {
      for (int c = 0; c < 32; ++c) {
        is_zero[c / 8] = is_zero[c / 8] && cell.f32()[pixel * cell.pixel_stride + c] == 0.0f;
      }
    }
    const ChoiceEdge& edge = group.edges[weight / 8];
    const bool has_effect = edge.from < 2 && edge.candidates[weight % 8] != "none";
    for (int node = 0; node < 4; ++node)
      EXPECT_EQ(is_zero[node], !(has_effect && edge.to == node + 2)) << weight;
  }
}

TEST(NetworkRun, EveryPublishedCellRuns) {
  for (const std::string& name : published_genotype_names()) {
    SCOPED_TRACE(name);
    const Execution run = run_network(build_derived(small_network(4), published_genotype(name)), 0.0f);
    const TensorView logits = run.output("logits");
    for (std::int64_t i = 0; i < logits.elements(); ++i)
      EXPECT_TRUE(std::isfinite(logits.f32()[i]));
    EXPECT_NE(logits.f32()[0], logits.f32()[10]);  // two images, two answers
  }
}

// Nodes that are a cell input itself, one of them twice in the output: three slices that must not share their memory.
TEST(NetworkRun, ANodeMayBeACellInputItself) {
  Genotype genotype = published_genotype("DARTS_V2");
  genotype.cell("normal") = {.edges = {{"skip_connect", 0, 2}, {"skip_connect", 1, 3}, {"skip_connect", 2, 4}},
                             .concat = {2, 3, 4}};
  const Execution run = run_network(build_derived(small_network(4), genotype), 0.0f);
  const TensorView cell = run.output("last_cell");
  ASSERT_EQ(cell.shape, (Shape{2, 2, 2, 3 * 16}));
  bool differ = false;
  for (std::int64_t pixel = 0; pixel < cell.pixels(); ++pixel) {
    const float* values = cell.f32() + pixel * cell.pixel_stride;
    for (int c = 0; c < 16; ++c) {
      EXPECT_EQ(values[c], values[32 + c]);
      differ = differ || values[c] != values[16 + c];
    }
  }
  EXPECT_TRUE(differ);
}

}  // namespace
}  // namespace dnas::search
