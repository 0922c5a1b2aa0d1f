#include "core/cell_space.hpp"

#include "core/cell_network.hpp"
#include "core/genotype_check.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace dnas::search {
namespace {

ChoiceGroup make_group(const std::string& name, const EdgeCandidates& edges) {
  ChoiceGroup group{.name = name, .edges = {}, .concat = {}, .inputs = 2};
  for (int node = 2; group.edges.size() < edges.size(); ++node) {
    group.concat.push_back(node);
    for (int from = 0; from < node; ++from) {
      const std::size_t index = group.edges.size();
      if (index == edges.size()) {
        throw ConfigError(
            fmt::format("cell space: the {} cell has {} edges, which ends within state {}", name, index, node));
      }
      if (edges[index].empty() || edges[index].size() != edges.front().size()) {
        throw ConfigError(fmt::format(
            "cell space: edge {} of the {} cell has {} candidates, expected {} like the first and at least 1", index,
            name, edges[index].size(), edges.front().size()));
      }
      for (const std::string& candidate : edges[index])
        (void)candidates().at(candidate);
      group.edges.push_back({.from = from, .to = node, .candidates = edges[index]});
    }
  }
  if (group.edges.empty()) throw ConfigError(fmt::format("cell space: the {} cell has no edges", name));
  return group;
}

}  // namespace

EdgeCandidates on_every_edge(const std::vector<std::string>& candidates, int nodes) {
  const int edges = nodes * (nodes + 3) / 2;  // 2 + 3 + ... + (nodes + 1)
  return EdgeCandidates(static_cast<std::size_t>(edges), candidates);
}

CellSpace::CellSpace(const EdgeCandidates& normal, const EdgeCandidates& reduce)
    : groups_{make_group("normal", normal), make_group("reduce", reduce)} {}

NetworkValues CellSpace::do_build_supernet(engine::Graph& graph, const NetworkConfig& config,
                                           MixedOperations& mixed) const {
  return append_cell_supernet(graph, config, groups_, mixed);
}

// Any sound cell with two inputs belongs to the space, so that published cells with other operations or more nodes can
// be trained with it too.
NetworkValues CellSpace::do_build_derived(engine::Graph& graph, const NetworkConfig& config,
                                          const Genotype& genotype) const {
  const CellGenotype& normal = required_cell(genotype, "normal", 2);
  const CellGenotype& reduce = required_cell(genotype, "reduce", 2);
  return append_cell_network(graph, config, normal, reduce);
}

}  // namespace dnas::search
