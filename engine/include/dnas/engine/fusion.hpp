#pragma once

#include "dnas/engine/graph.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace dnas::engine {

/// A graph with fused nodes, and what became of the values of the graph it was made from.
struct FusedGraph {
  std::shared_ptr<Graph> graph;
  std::vector<ValueId> values;  ///< by old value; no_value for what is no longer computed

  /// What an old value has become. Inputs, parameters, states and outputs all have.
  [[nodiscard]] ValueId at(ValueId old) const { return values[static_cast<std::size_t>(old)]; }
};

/// Rewrites the mixed operations of a supernet in Mode::train into fused nodes that compute the same values up to
/// rounding (docs/fused_mixed_operation.md):
///
///   separable_bundle   all chains relu -> depthwise_conv -> pointwise_conv -> batch_norm that read one tensor with one
///                      stride, if a weighted sum or the relu of another chain reads the result
///   batch_statistics   the other batch norms that only a weighted sum reads
///   node_reduction     the weighted sums that read any of these
///
/// Only batch norms without affine part and with the default settings are fused, and only where nothing else reads what
/// then is no longer computed; outputs of the graph are read. Everything else stays as it is, in Mode::eval all of it.
/// Inputs, parameters, states and outputs keep their names and order. To be called before append_backward. @throws
/// Error if gradients of parameters are there already
[[nodiscard]] FusedGraph fuse_mixed_operations(const Graph& graph);

}  // namespace dnas::engine
