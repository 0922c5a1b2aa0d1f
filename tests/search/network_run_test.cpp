#include "dnas/engine/executor.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/engine/plan.hpp"
#include "dnas/kernels/buffer.hpp"
#include "search/networks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

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

/// Plans and runs a network once on random weights and images, with the given value in all mixing weights.
class Execution {
 public:
  Execution(Built built, float mixing) : graph_(std::move(built.graph)) {
    const engine::NetworkTables& tables = graph_->tables();
    weights_ = std::make_unique<engine::ParameterSet>(tables.parameters);
    weights_->initialise(3);
    states_ = std::make_unique<engine::ParameterSet>(tables.states);
    states_->initialise(3);
    graph_->output("logits", built.values.logits);
    for (const engine::Node& node : graph_->nodes()) {
      if (node.op->kind() == "global_avg_pool") graph_->output("last_cell", node.inputs[0]);
    }
    const Context ctx = Context::cpu(1);
    const auto plan = std::make_shared<engine::Plan>(graph_, ctx);
    arena_ = Buffer(plan->arena_bytes());
    executor_ = std::make_unique<engine::Executor>(plan, ctx);
    executor_->bind({.arena = {arena_.data(), arena_.bytes()},
                     .parameters = weights_->flat(),
                     .gradients = {},
                     .states = states_->flat()});
    for (const std::string& name : graph_->inputs())
      bind(name, name == "images" ? 0.0f : mixing);
    executor_->run();
  }

  TensorView output(const std::string& name) const { return executor_->output(name); }
  std::span<const float> weight(const std::string& name) const {
    return weights_->values(weights_->table().find(name));
  }

 private:
  void bind(const std::string& name, float value) {
    Shape shape;
    for (std::size_t id = 0; id < graph_->values().size(); ++id) {
      const engine::Value& v = graph_->values()[id];
      if (v.storage == engine::Storage::input && v.slot == graph_->input_slot(name)) shape = v.type.shape;
    }
    std::vector<float>& values = inputs_.emplace_back(static_cast<std::size_t>(shape.elements()), value);
    if (name == "images") {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(static_cast<float>(i * i % 1009));
    }
    executor_->set_input(name, TensorView(values.data(), shape));
  }

  std::shared_ptr<engine::Graph> graph_;
  std::unique_ptr<engine::ParameterSet> weights_;
  std::unique_ptr<engine::ParameterSet> states_;
  Buffer arena_;
  std::vector<std::vector<float>> inputs_;
  std::unique_ptr<engine::Executor> executor_;
};

// Zero weights make every node zero, batch norms keep zero, and the classifier adds its bias.
TEST(NetworkRun, SupernetWithZeroMixingWeightsGivesTheBias) {
  const auto darts = make_space("darts");
  const Execution run(build_supernet(*darts, small_network(3)), 0.0f);
  const TensorView logits = run.output("logits");
  ASSERT_EQ(logits.shape, (Shape{2, 10}));
  const std::span<const float> bias = run.weight("classifier.bias");
  for (std::int64_t i = 0; i < logits.elements(); ++i)
    EXPECT_EQ(logits.f32()[i], bias[static_cast<std::size_t>(i % 10)]);
}

TEST(NetworkRun, MixingWeightsReachTheLogits) {
  const auto darts = make_space("darts");
  const Execution run(build_supernet(*darts, small_network(3)), 0.125f);
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
    const Execution run(build_derived(small_network(4), published_genotype(name)), 0.0f);
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
  const Execution run(build_derived(small_network(4), genotype), 0.0f);
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
