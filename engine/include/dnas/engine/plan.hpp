#pragma once

#include "dnas/engine/graph.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace dnas::engine {

/// Where a value lies when a plan runs.
struct Placement {
  Storage storage = Storage::arena;
  int slot = -1;                  ///< of an input
  std::int64_t offset = 0;        ///< bytes from the start of the storage (of the input's view, for inputs)
  std::int64_t pixel_stride = 0;  ///< elements
};

/// A graph made ready to run: the nodes that matter, in order, and a place for each value in one arena. Values whose
/// lifetimes do not overlap share memory; values that die where another is born lend it their place.
class Plan {
 public:
  /// Keeps the nodes that the graph's outputs and gradients need.
  Plan(std::shared_ptr<const Graph> graph, const Context& ctx);

  [[nodiscard]] const Graph& graph() const noexcept { return *graph_; }
  /// Indices of the graph's nodes that run, in order.
  [[nodiscard]] const std::vector<std::size_t>& nodes() const noexcept { return nodes_; }
  [[nodiscard]] const Placement& placement(ValueId value) const { return placements_[static_cast<std::size_t>(value)]; }
  /// Where a node's scratch memory lies in the arena, and how much of it.
  struct Workspace {
    std::size_t offset = 0;
    std::size_t bytes = 0;
  };
  [[nodiscard]] const Workspace& workspace(std::size_t node) const { return workspaces_[node]; }
  /// Bytes of the arena: the peak of activations, their gradients and scratch.
  [[nodiscard]] std::size_t arena_bytes() const noexcept { return arena_bytes_; }
  /// Bytes that no placement could go below: the most that is alive at one node.
  [[nodiscard]] std::size_t live_bytes() const noexcept { return live_bytes_; }

 private:
  std::shared_ptr<const Graph> graph_;
  std::vector<std::size_t> nodes_;
  std::vector<Placement> placements_;
  std::vector<Workspace> workspaces_;
  std::size_t arena_bytes_ = 0;
  std::size_t live_bytes_ = 0;
};

}  // namespace dnas::engine
