#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/cost.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/space.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dnas::search::testing_networks {

/// A network that was appended to a graph of its own.
struct Built {
  std::unique_ptr<engine::Graph> graph;
  NetworkValues values;
};

inline std::unique_ptr<Space> make_space(const std::string& name) {
  return make_part(spaces(), PartChoice{.name = name, .options = {}});
}

inline Built build_supernet(const Space& space, const NetworkConfig& config) {
  Built built{std::make_unique<engine::Graph>(engine::Mode::train, engine::NetworkTables{}), {}};
  built.values = space.build_supernet(*built.graph, config);
  return built;
}

inline Built build_derived(const NetworkConfig& config, const Genotype& genotype) {
  Built built{std::make_unique<engine::Graph>(engine::Mode::train, engine::NetworkTables{}), {}};
  built.values = make_space("darts")->build_derived(*built.graph, config, genotype);
  return built;
}

/// Scalars in the parameters whose name starts with `prefix`.
inline std::int64_t parameters_under(const engine::Graph& graph, std::string_view prefix) {
  std::int64_t count = 0;
  for (const engine::ParameterSpec& spec : graph.tables().parameters->specs()) {
    if (spec.name.starts_with(prefix)) count += spec.shape.elements();
  }
  return count;
}

inline std::vector<std::string> names(const engine::ParameterTable& table) {
  std::vector<std::string> result;
  for (const engine::ParameterSpec& spec : table.specs())
    result.push_back(spec.name);
  return result;
}

/// Network sizes by the names of the literature: C initial channels, L cells, one 32x32 image.
inline NetworkConfig size(std::int64_t channels, int layers) {
  return {
      .init_channels = channels, .layers = layers, .classes = 10, .batch = 1, .image = {32, 32, 3}, .auxiliary = false};
}

}  // namespace dnas::search::testing_networks
