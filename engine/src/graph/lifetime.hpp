#pragma once

#include "dnas/engine/graph.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dnas::engine {

/// Which values share one piece of memory, and how long each piece is needed.
///
/// A piece is named by its root: the value that no other contains. Concatenations contain their parts, gradients being
/// summed in place contain one another, and where an operation may overwrite an input that dies there, its output joins
/// it.
class Lifetimes {
 public:
  /// `order`: the nodes that run, as indices into the graph's.
  Lifetimes(const Graph& graph, const std::vector<std::size_t>& order);

  [[nodiscard]] ValueId root(ValueId value) const;
  /// Elements from the start of the root's pixel to the start of the value's.
  [[nodiscard]] std::int64_t channel_offset(ValueId value) const;

  /// Positions in `order` between which a root is needed; never_used if no node touches it.
  static constexpr std::size_t never_used = static_cast<std::size_t>(-1);
  [[nodiscard]] std::size_t first(ValueId root) const { return first_[static_cast<std::size_t>(root)]; }
  [[nodiscard]] std::size_t last(ValueId root) const { return last_[static_cast<std::size_t>(root)]; }

 private:
  void share_dying_inputs(const std::vector<std::size_t>& order);

  const Graph& graph_;
  std::vector<ValueId> joined_;  // root -> the root it was merged into, or itself
  std::vector<std::size_t> first_;
  std::vector<std::size_t> last_;
};

}  // namespace dnas::engine
