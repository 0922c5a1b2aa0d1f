#pragma once

#include "dnas/engine/executor.hpp"
#include "dnas/engine/graph.hpp"
#include "dnas/engine/parameters.hpp"
#include "dnas/engine/plan.hpp"
#include "dnas/kernels/buffer.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dnas::search::testing_networks {

/// Plans a graph and runs it once on random weights; `fill` gives the values of each input.
class Execution {
 public:
  using Fill = std::function<void(const std::string& input, std::span<float> values)>;

  Execution(std::shared_ptr<const engine::Graph> graph, const Fill& fill)
      : weights_(graph->tables().parameters), states_(graph->tables().states) {
    weights_.initialise(3);
    states_.initialise(3);
    const Context ctx = Context::cpu(1);
    const auto plan = std::make_shared<const engine::Plan>(graph, ctx);
    arena_ = Buffer(plan->arena_bytes());
    executor_ = std::make_unique<engine::Executor>(plan, ctx);
    executor_->bind({.arena = {arena_.data(), arena_.bytes()},
                     .parameters = weights_.flat(),
                     .gradients = {},
                     .states = states_.flat()});
    for (const engine::Value& value : graph->values()) {
      if (value.storage != engine::Storage::input) continue;
      const std::string& name = graph->inputs()[static_cast<std::size_t>(value.slot)];
      std::vector<float>& values = inputs_.emplace_back(static_cast<std::size_t>(value.type.shape.elements()));
      fill(name, values);
      executor_->set_input(name, TensorView(values.data(), value.type.shape));
    }
    executor_->run();
  }

  [[nodiscard]] TensorView output(const std::string& name) const { return executor_->output(name); }
  [[nodiscard]] std::span<const float> weight(const std::string& name) const {
    return weights_.values(weights_.table().find(name));
  }

 private:
  engine::ParameterSet weights_;
  engine::ParameterSet states_;
  Buffer arena_;
  std::vector<std::vector<float>> inputs_;
  std::unique_ptr<engine::Executor> executor_;
};

}  // namespace dnas::search::testing_networks
