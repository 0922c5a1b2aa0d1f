#pragma once

#include "dnas/engine/graph.hpp"

#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <vector>

namespace dnas::engine {

/// Which gradients a backward pass is for. Nothing else is computed.
struct GradientRequest {
  bool parameters = false;  ///< of the graph's parameters, into the flat gradient array; 0 where no path leads there
  std::vector<ValueId> inputs{};  ///< of these inputs
  /// Nodes (indices) whose results are not kept until the backward pass, which runs them again where it first needs
  /// one: memory for time.
  std::set<std::size_t> recompute{};
};

class Recomputation;

/// Appends to the graph the nodes that compute the gradient of `loss` (a scalar) for what is asked. Returns the
/// gradient values of `request.inputs`, in order (no_value where the loss does not depend on it).
/// @throws Error if `loss` or one of `request.inputs` is no such value, or a parameter has its gradient already;
/// UnsupportedError if an operation on the way has no gradient, the loss is no cross_entropy, or a node to recompute is
/// not repeatable
std::vector<ValueId> append_backward(Graph& graph, ValueId loss, const GradientRequest& request);

/// One node's backward, as seen by its operation.
///
/// Gradients of a value with several readers are summed in place: each contribution is a node whose last inputs are the
/// partial sums so far (no_value for the first contribution, which then overwrites) and whose outputs share their
/// memory.
class Backward {
 public:
  [[nodiscard]] Graph& graph() const noexcept { return graph_; }
  /// The node's operands, for use in the backward pass: those that are not kept are computed again.
  [[nodiscard]] ValueId input(int index) const;
  [[nodiscard]] int inputs() const noexcept { return static_cast<int>(node_.inputs.size()); }
  [[nodiscard]] ValueId output(int index) const;
  /// Whether the gradient of an output is a value: not so for the loss itself, whose gradient is 1.
  [[nodiscard]] bool has_gradient(int output) const;
  /// Gradient of an output. @throws UnsupportedError for the loss itself
  [[nodiscard]] ValueId gradient(int output) const;

  /// Whether the gradient of an input is asked for.
  [[nodiscard]] bool wanted(int input) const;
  /// The sum of the contributions to an input's gradient so far; no_value if this is the first.
  [[nodiscard]] ValueId partial(int input) const;
  /// Sets an input's gradient to `sum`: its partial with this node's contribution added.
  void set_partial(int input, ValueId sum);

  /// Adds a value that nobody else reads or adds to: the first contribution is the partial, later ones are copied into
  /// it. For operations that cannot add to a partial themselves.
  void add(int input, ValueId contribution);
  /// Adds the gradient of an output, as it is, to that of an input. The last that an operation does with it.
  void pass(int input, int output);

  /// Appends op(inputs..., partial(input)) and makes its output the partial of `input`. For operations with one
  /// gradient.
  void contribute(int input, std::shared_ptr<const Op> op, std::vector<ValueId> inputs);

 private:
  friend std::vector<ValueId> append_backward(Graph&, ValueId, const GradientRequest&);
  Backward(Graph& graph, Node node, const std::vector<bool>& needed, std::map<ValueId, ValueId>& partials,
           Recomputation& recomputation)
      : graph_(graph), node_(std::move(node)), needed_(needed), partials_(partials), recomputation_(recomputation) {}

  // The operands of the forward pass, which gradients belong to.
  [[nodiscard]] ValueId forward_input(int index) const { return node_.inputs[static_cast<std::size_t>(index)]; }
  [[nodiscard]] ValueId forward_output(int index) const { return node_.outputs[static_cast<std::size_t>(index)]; }

  Graph& graph_;
  Node node_;  // a copy: appending nodes moves the graph's own
  const std::vector<bool>& needed_;
  std::map<ValueId, ValueId>& partials_;
  Recomputation& recomputation_;
};

}  // namespace dnas::engine
