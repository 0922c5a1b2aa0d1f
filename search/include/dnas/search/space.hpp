#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/genotype.hpp"
#include "dnas/search/support.hpp"
#include "dnas/search/transform.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dnas::search {

/// An edge of a cell: from state `from` to state `to` (the first states are the cell's inputs, the others its nodes).
struct ChoiceEdge {
  int from = 0;
  int to = 0;
  std::vector<std::string> candidates;  ///< in the order of alpha's columns
};

/// Choice points that share one alpha matrix [edges, candidates]: all cells of one type.
struct ChoiceGroup {
  std::string name;  ///< "normal", "reduce"; its alpha is "alphas_" + name, the genotype's cell has the same name
  std::vector<ChoiceEdge> edges;
  std::vector<int> concat;  ///< states that form the cell's output
  int inputs = 2;           ///< of the cell: states 0 to inputs - 1

  [[nodiscard]] std::int64_t rows() const noexcept { return static_cast<std::int64_t>(edges.size()); }
  /// Columns of alpha: as many as the edge with the most candidates has. Other edges leave the last ones empty.
  [[nodiscard]] std::int64_t columns() const noexcept {
    std::size_t most = 0;
    for (const ChoiceEdge& edge : edges)
      most = std::max(most, edge.candidates.size());
    return static_cast<std::int64_t>(most);
  }
};

/// The size of a network.
struct NetworkConfig {
  std::int64_t init_channels = 16;
  int layers = 8;
  int classes = 10;
  std::int64_t batch = 64;
  Shape image{32, 32, 3};  ///< [H, W, C]
  bool auxiliary = false;  ///< derived networks: the auxiliary classifier
};

/// The values of a network that was appended to a graph.
struct NetworkValues {
  engine::ValueId images = engine::no_value;  ///< input "images" [N, H, W, C]
  std::vector<engine::ValueId> mixing;        ///< inputs "mix_<group>" [edges, columns]: Architecture::mix()
  engine::ValueId logits = engine::no_value;  ///< [N, classes]
  engine::ValueId auxiliary_logits = engine::no_value;
};

/// What a supernet is built with besides its size.
struct SupernetOptions {
  Transforms transforms;             ///< must outlive the graph's construction only
  const Support* support = nullptr;  ///< what runs; nullptr or empty: everything
};

class MixedOperations;

/// A search space: which choices there are, and how networks are built from them.
class Space {
 public:
  virtual ~Space() = default;

  [[nodiscard]] const std::vector<ChoiceGroup>& choice_groups() const { return do_choice_groups(); }

  /// Appends the supernet. Every node of every cell is one weighted sum over all its edges and candidates that run.
  /// Besides images and mixing weights it may read "random" [2] i64 (random_source.hpp) and "rate_<i>" [1] of the i-th
  /// transform.
  /// @throws ConfigError, ShapeError if the size does not fit the space (too few layers, odd extents at a reduction
  /// ...)
  [[nodiscard]] NetworkValues build_supernet(engine::Graph& graph, const NetworkConfig& config,
                                             const SupernetOptions& options = {}) const;

  /// Appends the network that a genotype describes (no mixing inputs; affine batch norm).
  /// @throws as build_supernet; ConfigError if the genotype is not sound or does not belong to the space
  [[nodiscard]] NetworkValues build_derived(engine::Graph& graph, const NetworkConfig& config,
                                            const Genotype& genotype) const;

 protected:
  virtual const std::vector<ChoiceGroup>& do_choice_groups() const = 0;
  virtual NetworkValues do_build_supernet(engine::Graph& graph, const NetworkConfig& config,
                                          MixedOperations& mixed) const = 0;
  virtual NetworkValues do_build_derived(engine::Graph& graph, const NetworkConfig& config,
                                         const Genotype& genotype) const = 0;
};

void register_spaces(Registry<Component<Space>>& registry);
[[nodiscard]] const Registry<Component<Space>>& spaces();

}  // namespace dnas::search
