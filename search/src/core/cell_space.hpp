#pragma once

#include "dnas/search/space.hpp"

#include <string>
#include <vector>

namespace dnas::search {

/// The candidates of every edge of a cell with two inputs in which each node receives all earlier states: node by node,
/// within a node by predecessor (2 edges for the first node, 3 for the second ...).
using EdgeCandidates = std::vector<std::vector<std::string>>;

/// The same candidates on each edge of a cell of `nodes` nodes.
[[nodiscard]] EdgeCandidates on_every_edge(const std::vector<std::string>& candidates, int nodes = 4);

/// A space of networks of normal and reduction cells. Members of the family differ in their candidates only.
class CellSpace final : public Space {
 public:
  /// @throws ConfigError if the number of edges belongs to no number of nodes, an edge has no or another number of
  ///   candidates than the first, or a candidate is unknown
  CellSpace(const EdgeCandidates& normal, const EdgeCandidates& reduce);

 protected:
  const std::vector<ChoiceGroup>& do_choice_groups() const override { return groups_; }
  NetworkValues do_build_supernet(engine::Graph& graph, const NetworkConfig& config,
                                  MixedOperations& mixed) const override;
  NetworkValues do_build_derived(engine::Graph& graph, const NetworkConfig& config,
                                 const Genotype& genotype) const override;

 private:
  std::vector<ChoiceGroup> groups_;
};

}  // namespace dnas::search
