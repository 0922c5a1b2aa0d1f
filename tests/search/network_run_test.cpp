#include "search/execution.hpp"
#include "search/networks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
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

/// Runs a network on images without symmetry, with the given value in all mixing weights.
Execution run_network(Built built, float mixing) {
  built.graph->output("logits", built.values.logits);
  for (const engine::Node& node : built.graph->nodes()) {
    if (node.op->kind() == "global_avg_pool") built.graph->output("last_cell", node.inputs[0]);
  }
  return {std::move(built.graph), [&](const std::string& input, std::span<float> values) {
            for (std::size_t i = 0; i < values.size(); ++i) {
              values[i] = input == "images" ? std::sin(static_cast<float>(i * i % 1009)) : mixing;
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
  genotype.normal = {.edges = {{"skip_connect", 0, 2}, {"skip_connect", 1, 3}, {"skip_connect", 2, 4}},
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
