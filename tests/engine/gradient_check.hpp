#pragma once

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "engine/graph_runs.hpp"
#include "engine/random_graph.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

// Gradients of nodes against central differences of a loss.
namespace dnas::engine::test_graphs {

/// A small network around the nodes under test: x [2, 4, 5, 3], mix [6], body, classifier, loss.
inline RandomGraph network(const std::function<ValueId(Graph&, ValueId x, ValueId mix)>& body,
                           Mode mode = Mode::train) {
  RandomGraph net;
  net.graph = std::make_shared<Graph>(mode, NetworkTables{});
  Graph& graph = *net.graph;
  net.x = graph.input("x", Shape{2, 4, 5, 3});
  net.mix = graph.input("mix", Shape{2, 3});
  const ValueId y = body(graph, net.x, net.mix);
  // With a stride pixels meet different weights: the gradient of y is not the same everywhere.
  const ValueId spread = nodes::depthwise_conv(graph, y, "spread", {.kernel = 3, .stride = 2});
  const ValueId logits = nodes::linear(graph, nodes::global_avg_pool(graph, spread), "head", classes);
  net.loss = nodes::cross_entropy(graph, logits, graph.input("labels", {Shape{2}, DType::i64}), 0.1F);
  graph.output("loss", net.loss);
  return net;
}

/// Names the gradients "dx" and "dmix".
inline void differentiate(const RandomGraph& net) {
  const auto gradients = append_backward(*net.graph, net.loss, {.parameters = true, .inputs = {net.x, net.mix}});
  if (gradients[0] != no_value) net.graph->output("dx", gradients[0]);
  if (gradients[1] != no_value) net.graph->output("dmix", gradients[1]);
}

inline std::vector<float> copy_of(const TensorView& view) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < view.elements(); ++i) {
    const std::int64_t c = view.channels();
    values.push_back(view.f32()[i / c * view.pixel_stride + i % c]);
  }
  return values;
}

/// Largest difference between the gradient of `values` and central differences of the loss, along random directions of
/// +-1 in all elements at once, relative to the gradient's norm. The step balances the loss's rounding (1e-7 / step)
/// against its curvature and the kinks of relu and max pool that it crosses (proportional to the step).
inline double gradient_error(PlannedRun& run, std::span<float> values, const std::vector<float>& gradient) {
  constexpr float step = 1.0F / 1024;
  double norm = 0.0;
  for (const float g : gradient)
    norm += static_cast<double>(g) * g;
  norm = std::sqrt(norm);
  EXPECT_GT(norm, 1e-4) << "the gradient says nothing";
  double worst = 0.0;
  const std::vector<float> before(values.begin(), values.end());
  for (std::uint32_t direction = 0; direction < 6; ++direction) {
    const Philox random(5, Stream::perturbation, direction);
    const auto sign = [&](std::size_t i) { return random.uniform(i) < 0.5F ? -1.0F : 1.0F; };
    double expected = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i)
      expected += static_cast<double>(sign(i)) * gradient[i];
    const auto loss_at = [&](float distance) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = before[i] + distance * sign(i);
      return static_cast<double>(run.loss());
    };
    const double difference = (loss_at(step) - loss_at(-step)) / (2.0 * step);
    worst = std::max(worst, std::abs(difference - expected) / norm);
    std::copy(before.begin(), before.end(), values.begin());
  }
  return worst;
}

/// Of every parameter and of the inputs, each by itself.
inline void expect_right_gradients(const RandomGraph& net, double tolerance = 0.03) {
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  const TensorView head = run.weights().view(run.weights().table().find("head.weight"));
  for (std::int64_t i = 0; i < head.elements(); ++i)
    head.f32()[i] *= 4.0F;  // larger gradients beside the rounding of the loss
  run.run();
  const auto specs = run.weights().table().specs();
  std::vector<std::vector<float>> gradients;
  for (std::size_t p = 0; p < specs.size(); ++p)
    gradients.push_back(copy_of(run.gradients().view(static_cast<int>(p))));
  const auto& outputs = net.graph->outputs();
  for (const auto& [input, output] : {std::pair{"x", "dx"}, std::pair{"mix", "dmix"}}) {
    if (!outputs.contains(output)) continue;
    run.run();
    const std::vector<float> gradient = copy_of(run.output(output));
    const TensorView& values = inputs[input];
    EXPECT_LT(gradient_error(run, {values.f32(), gradient.size()}, gradient), tolerance) << output;
  }
  for (std::size_t p = 0; p < specs.size(); ++p) {
    const TensorView values = run.weights().view(static_cast<int>(p));
    EXPECT_LT(gradient_error(run, {values.f32(), gradients[p].size()}, gradients[p]), tolerance) << specs[p].name;
  }
}

}  // namespace dnas::engine::test_graphs
