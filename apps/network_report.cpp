#include "network_report.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/fusion.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/engine/plan.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/cost.hpp"

#include <map>
#include <memory>
#include <string_view>

namespace dnas::apps {
namespace {

constexpr std::string_view auxiliary_prefix = "auxiliary";

void count_parameters(const engine::NetworkTables& tables, NetworkReport& report) {
  for (const engine::ParameterSpec& spec : tables.parameters->specs()) {
    const bool auxiliary = spec.name.rfind(auxiliary_prefix, 0) == 0;
    (auxiliary ? report.auxiliary_parameters : report.parameters) += spec.shape.elements();
  }
  constexpr std::int64_t arrays = 3;  // weights, gradient, momentum
  report.weight_bytes =
      static_cast<std::size_t>(arrays * tables.parameters->extent() + tables.states->extent()) * sizeof(float);
}

void count_forward(const search::NetworkConfig& config, const BuildNetwork& build, NetworkReport& report) {
  search::NetworkConfig one_image = config;
  one_image.batch = 1;
  one_image.auxiliary = false;  // papers count the network that is used in the end
  engine::Graph graph(engine::Mode::eval, engine::NetworkTables{});
  static_cast<void>(build(graph, one_image));
  report.multiply_adds = search::cost_of(graph).multiply_adds;
  std::map<std::string, std::size_t> kinds;
  for (const engine::Node& node : graph.nodes())
    ++kinds[std::string(node.op->kind())];
  for (const auto& [kind, count] : kinds)
    report.operations.push_back({kind, count});
}

NetworkReport::Step plan_step(const search::NetworkConfig& config, const BuildNetwork& build,
                              const StepRequest& request, const engine::NetworkTables& tables, bool fusion,
                              const Context& ctx) {
  const bool training = request.weights || request.mixing;
  auto graph = std::make_shared<engine::Graph>(training ? engine::Mode::train : engine::Mode::eval, tables);
  search::NetworkValues values = build(*graph, config);
  const engine::ValueId labels = graph->input("labels", {Shape{config.batch}, DType::i64});
  graph->output("loss", engine::nodes::cross_entropy(*graph, values.logits, labels, 0.0F));
  graph->output("logits", values.logits);
  if (fusion) {
    engine::FusedGraph fused = engine::fuse_mixed_operations(*graph);
    for (engine::ValueId& mix : values.mixing)
      mix = fused.at(mix);
    graph = std::move(fused.graph);
  }
  engine::GradientRequest gradients;
  gradients.parameters = request.weights;
  if (request.mixing) gradients.inputs = values.mixing;
  if (training) {
    const std::vector<engine::ValueId> mixing = engine::append_backward(*graph, graph->output("loss"), gradients);
    for (std::size_t i = 0; i < mixing.size(); ++i) {
      if (mixing[i] != engine::no_value) graph->output("dmix_" + std::to_string(i), mixing[i]);
    }
  }
  const engine::Plan plan(graph, ctx);
  return {request.name, plan.nodes().size(), plan.arena_bytes(), plan.live_bytes()};
}

}  // namespace

NetworkReport report_network(const search::NetworkConfig& config, const BuildNetwork& build,
                             const std::vector<StepRequest>& steps, bool fusion, const Context& ctx) {
  NetworkReport report;
  try {
    const engine::NetworkTables tables;
    for (const StepRequest& step : steps)
      report.steps.push_back(plan_step(config, build, step, tables, fusion, ctx));
    count_forward(config, build, report);
    count_parameters(tables, report);
  } catch (const ShapeError& error) {
    throw ConfigError(error.what());  // the sizes came from the command line
  }
  return report;
}

}  // namespace dnas::apps
