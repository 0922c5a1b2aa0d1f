#include "network_report.hpp"

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

}  // namespace

NetworkReport report_network(const search::NetworkConfig& config, const BuildNetwork& build,
                             const std::vector<NamedStep>& steps, bool fusion, const Context& ctx) {
  NetworkReport report;
  try {
    const engine::NetworkTables tables;
    for (const NamedStep& step : steps) {
      const auto plan = search::plan_step([&](engine::Graph& graph) { return build(graph, config); }, tables,
                                          step.request, {.fusion = fusion, .memory_budget = 0}, ctx)
                            .plan;
      report.steps.push_back({step.name, plan->nodes().size(), plan->arena_bytes(), plan->live_bytes()});
    }
    count_forward(config, build, report);
    count_parameters(tables, report);
  } catch (const ShapeError& error) {
    throw ConfigError(error.what());  // the sizes came from the command line
  }
  return report;
}

}  // namespace dnas::apps
