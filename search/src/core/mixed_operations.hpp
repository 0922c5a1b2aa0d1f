#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/random_source.hpp"
#include "dnas/search/space.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace dnas::search {

/// Appends the mixed operations of a supernet to a graph: the inputs they read, and node by node the weighted sum of
/// what runs, with the transforms of the search around it. What all spaces share.
class MixedOperations {
 public:
  /// Declares the mixing input of every group, and a rate input for each transform that has a rate.
  MixedOperations(engine::Graph& graph, const std::vector<ChoiceGroup>& groups, const SupernetOptions& options);

  /// Where the edges of a node stand.
  struct Site {
    std::string prefix;             ///< candidate k of edge e is named prefix + "._ops.<e>._ops.<k>"
    std::int64_t channels = 0;      ///< of the states
    std::int64_t out_channels = 0;  ///< of the node; 0: as the states
    bool pool_norm = true;
    std::function<int(const ChoiceEdge&)> stride;  ///< of an edge
  };

  /// The value of the node `node`, from the values of all states before it; a node none of whose edges carries anything
  /// is 0.
  /// @throws ConfigError if the node has no candidate but none, or channels do not divide
  [[nodiscard]] engine::ValueId append_node(std::size_t group, int node, const Site& site,
                                            std::span<const engine::ValueId> states);

  [[nodiscard]] const std::vector<engine::ValueId>& mixing() const noexcept { return mixing_; }
  [[nodiscard]] RandomSource& random() noexcept { return random_; }

 private:
  struct Edge;
  void append_candidates(Edge& edge, const Site& site);
  void append_extras(Edge& edge, const Site& site);
  [[nodiscard]] engine::ValueId wrap_edge(const Edge& edge);
  [[nodiscard]] bool runs(std::size_t group, std::size_t entry) const;
  [[nodiscard]] Transform::Inputs inputs_of(std::size_t transform);

  engine::Graph& graph_;
  const std::vector<ChoiceGroup>& groups_;
  SupernetOptions options_;
  std::int64_t divisor_;
  std::int64_t extra_columns_;
  bool separate_edges_;
  RandomSource random_;
  std::vector<engine::ValueId> mixing_;
  std::vector<engine::ValueId> rates_;  // per transform
};

}  // namespace dnas::search
