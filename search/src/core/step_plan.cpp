#include "dnas/search/step_plan.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/fusion.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace dnas::search {

namespace {

using engine::Graph;

/// A forward pass, and what gradients are asked for.
struct Forward {
  std::shared_ptr<Graph> graph;
  std::vector<engine::ValueId> mixing;
};

Forward forward_pass(const BuildNetwork& build, const engine::NetworkTables& tables, const StepRequest& request,
                     bool fusion) {
  Forward forward;
  forward.graph = std::make_shared<Graph>(request.training() ? engine::Mode::train : engine::Mode::eval, tables);
  Graph& graph = *forward.graph;
  NetworkValues values = build(graph);
  const engine::ValueId labels = graph.input("labels", {Shape{graph.shape(values.logits)[0]}, DType::i64});
  graph.output("loss", engine::nodes::cross_entropy(graph, values.logits, labels, request.label_smoothing));
  graph.output("logits", values.logits);
  if (fusion) {
    engine::FusedGraph fused = engine::fuse_mixed_operations(graph);
    for (engine::ValueId& mix : values.mixing)
      mix = fused.at(mix);
    forward.graph = std::move(fused.graph);
  }
  if (request.mixing) forward.mixing = std::move(values.mixing);
  return forward;
}

/// Nodes that a backward pass may run again, in order: the first live longest. Not those that compute slices of wider
/// tensors, where the second result would have a place of its own.
std::vector<std::size_t> repeatable_nodes(const Graph& graph) {
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const engine::Node& node = graph.nodes()[i];
    const bool in_place = std::ranges::all_of(
        node.outputs, [&](engine::ValueId id) { return graph.value(id).shares == engine::no_value; });
    if (node.op->repeatable() && in_place) nodes.push_back(i);
  }
  return nodes;
}

std::shared_ptr<const engine::Plan> plan_with(const Forward& forward, const StepRequest& request,
                                              std::set<std::size_t> recompute, const Context& ctx) {
  const auto graph = std::make_shared<Graph>(*forward.graph);
  if (request.gradients()) {
    const std::vector<engine::ValueId> gradients = engine::append_backward(
        *graph, graph->output("loss"),
        {.parameters = request.weights, .inputs = forward.mixing, .recompute = std::move(recompute)});
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i] == engine::no_value) continue;
      const auto slot = static_cast<std::size_t>(graph->value(forward.mixing[i]).slot);
      graph->output(mixing_gradient(graph->inputs()[slot]), gradients[i]);
    }
  }
  return std::make_shared<const engine::Plan>(graph, ctx);
}

}  // namespace

std::string mixing_gradient(std::string_view input) {
  return fmt::format("d{}", input);
}

StepPlan plan_step(const BuildNetwork& build, const engine::NetworkTables& tables, const StepRequest& request,
                   const StepOptions& options, const Context& ctx) {
  const Forward forward = forward_pass(build, tables, request, options.fusion);
  StepPlan result{plan_with(forward, request, {}, ctx), 0};
  const auto fits = [&](const engine::Plan& plan) {
    return options.memory_budget == 0 || plan.arena_bytes() <= options.memory_budget;
  };
  if (fits(*result.plan)) return result;

  const std::vector<std::size_t> nodes =
      request.training() ? repeatable_nodes(*forward.graph) : std::vector<std::size_t>();
  const auto first = [&](std::size_t count) {
    const std::set<std::size_t> recompute(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(count));
    return StepPlan{plan_with(forward, request, recompute, ctx), count};
  };
  result = first(nodes.size());
  if (!fits(*result.plan)) {
    constexpr double mib = 1024.0 * 1024.0;
    const std::size_t missing = result.plan->arena_bytes() - options.memory_budget;
    throw ConfigError(fmt::format(
        "memory_budget leaves {:.1f} MiB for activations, their gradients and scratch, which need {:.1f} MiB at least: "
        "allow {:.1f} MiB more{}, or reduce batch_size, init_channels or layers",
        static_cast<double>(options.memory_budget) / mib, static_cast<double>(result.plan->arena_bytes()) / mib,
        std::ceil(10.0 * static_cast<double>(missing) / mib) / 10.0,
        options.fusion ? "" : ", or fusion, without which computing again saves next to nothing"));
  }
  // More nodes, less memory, but for some kilobytes now and then: a number that is least or nearly so, by halving.
  std::size_t too_few = 0;
  while (result.recomputed - too_few > 1) {
    const std::size_t middle = too_few + (result.recomputed - too_few) / 2;
    StepPlan candidate = first(middle);
    if (fits(*candidate.plan)) {
      result = std::move(candidate);
    } else {
      too_few = middle;
    }
  }
  return result;
}

}  // namespace dnas::search
