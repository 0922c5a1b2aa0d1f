#include "dnas/engine/autodiff.hpp"

#include "dnas/kernels/error.hpp"

#include "nodes/copy.hpp"
#include "nodes/zeros.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace dnas::engine {

/// Which results the backward pass computes again, and as what.
class Recomputation {
 public:
  Recomputation(Graph& graph, const std::set<std::size_t>& nodes) : graph_(graph) {
    for (const std::size_t i : nodes) {
      if (i >= graph.nodes().size()) throw Error(fmt::format("backward: no node {} to recompute", i));
      const Node& node = graph.nodes()[i];
      if (!node.op->repeatable()) {
        throw UnsupportedError(
            fmt::format("backward: node {} to recompute is {}, which must not run twice", i, node.op->kind()));
      }
      for (const ValueId id : node.outputs)
        producer_.emplace(id, i);
    }
    add_views();
  }

  /// What stands for a value of the forward pass; appends the nodes that compute it.
  ValueId value(ValueId id) {
    if (const auto it = again_.find(id); it != again_.end()) return it->second;
    const auto producer = producer_.find(id);
    if (producer == producer_.end()) return id;
    const Node node = graph_.nodes()[producer->second];  // a copy: appending moves the graph's own
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) {
      const bool state = input != no_value && graph_.value(input).storage == Storage::state;
      inputs.push_back(state ? no_value : value(input));
    }
    const auto outputs = graph_.add_again(node.op, inputs);
    for (std::size_t k = 0; k < node.outputs.size(); ++k)
      again_.emplace(node.outputs[k], outputs[k]);
    return again_.at(id);
  }

 private:
  /// A slice of a result that is computed again is one of the second result: it would keep the first.
  void add_views() {
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (node.outputs.size() != 1 || !node.op->repeatable()) continue;
      const ValueId whole = graph_.value(node.outputs[0]).shares;
      if (producer_.contains(whole) && std::ranges::find(node.inputs, whole) != node.inputs.end()) {
        producer_.emplace(node.outputs[0], i);
      }
    }
  }

  Graph& graph_;
  std::map<ValueId, std::size_t> producer_;
  std::map<ValueId, ValueId> again_;
};

namespace {

bool is_value(const Graph& graph, ValueId id) {
  return id >= 0 && id < static_cast<ValueId>(graph.values().size());
}

void check_request(const Graph& graph, ValueId loss, const GradientRequest& request) {
  if (!is_value(graph, loss) || graph.value(loss).storage != Storage::arena) {
    throw Error(fmt::format("backward: the loss is value {}, expected the result of a node", loss));
  }
  for (const ValueId id : request.inputs) {
    // The gradient of a node's result may be added to in place once its readers are done.
    if (!is_value(graph, id) || graph.value(id).storage != Storage::input) {
      throw Error(fmt::format("backward: the gradient of value {} is asked for, expected an input of the graph", id));
    }
  }
}

/// The gradient array would keep what another graph of the network left there.
void store_missing_gradients(Graph& graph, const std::map<ValueId, ValueId>& partials) {
  const auto values = static_cast<ValueId>(graph.values().size());
  for (ValueId id = 0; id < values; ++id) {
    if (graph.value(id).storage != Storage::parameter || partials.contains(id)) continue;
    graph.store_as_gradient(graph.add1(std::make_shared<ZerosOp>(graph.type(id), Merging::never), {}), id);
  }
}

}  // namespace

ValueId Backward::input(int index) const {
  return recomputation_.value(forward_input(index));
}

ValueId Backward::output(int index) const {
  return recomputation_.value(forward_output(index));
}

bool Backward::has_gradient(int output) const {
  return partials_.contains(forward_output(output));
}

ValueId Backward::gradient(int output) const {
  const auto it = partials_.find(forward_output(output));
  if (it == partials_.end()) {
    throw UnsupportedError(fmt::format("backward: the loss comes from {}, expected cross_entropy", node_.op->kind()));
  }
  return it->second;
}

bool Backward::wanted(int input) const {
  const ValueId id = forward_input(input);
  return id != no_value && needed_[static_cast<std::size_t>(id)];
}

ValueId Backward::partial(int input) const {
  const auto it = partials_.find(forward_input(input));
  return it == partials_.end() ? no_value : it->second;
}

void Backward::set_partial(int input, ValueId sum) {
  const ValueId id = forward_input(input);
  const Value& v = graph_.value(id);
  const bool first = partial(input) == no_value;
  partials_[id] = sum;
  if (first && v.storage == Storage::parameter) graph_.store_as_gradient(sum, id);
}

void Backward::add(int input, ValueId contribution) {
  if (partial(input) == no_value) {
    set_partial(input, contribution);
  } else {
    contribute(input, std::make_shared<CopyOp>(), {contribution});
  }
}

void Backward::pass(int input, int output) {
  // The nodes that read it run before those that will add to it. What outlives the pass has memory of its own.
  if (graph_.value(forward_input(input)).storage == Storage::arena) {
    add(input, gradient(output));
  } else {
    contribute(input, std::make_shared<CopyOp>(), {gradient(output)});
  }
}

void Backward::contribute(int input, std::shared_ptr<const Op> op, std::vector<ValueId> inputs) {
  inputs.push_back(partial(input));
  set_partial(input, graph_.add1(std::move(op), inputs));
}

std::vector<ValueId> append_backward(Graph& graph, ValueId loss, const GradientRequest& request) {
  check_request(graph, loss, request);
  if (graph.shape(loss).elements() != 1) {
    throw ShapeError(fmt::format("backward: the loss is {}, expected a scalar", graph.shape(loss).to_string()));
  }
  const std::size_t forward_nodes = graph.nodes().size();
  // A value needs a gradient if it is asked for, or depends on one that is.
  std::vector<bool> needed(graph.values().size(), false);
  for (std::size_t id = 0; id < needed.size(); ++id) {
    needed[id] = request.parameters && graph.values()[id].storage == Storage::parameter;
  }
  for (const ValueId id : request.inputs)
    needed[static_cast<std::size_t>(id)] = true;
  for (const Node& node : graph.nodes()) {
    bool any = false;
    for (const ValueId id : node.inputs)
      any = any || (id != no_value && needed[static_cast<std::size_t>(id)]);
    if (!any) continue;
    for (const ValueId id : node.outputs)
      needed[static_cast<std::size_t>(id)] = true;
  }

  std::map<ValueId, ValueId> partials;
  Recomputation recomputation(graph, request.recompute);
  for (std::size_t i = forward_nodes; i-- > 0;) {
    const Node node = graph.nodes()[i];  // a copy: appending moves the graph's own
    bool reached = false;
    bool wanted = false;
    for (const ValueId id : node.outputs)
      reached = reached || id == loss || partials.contains(id);
    for (const ValueId id : node.inputs)
      wanted = wanted || (id != no_value && needed[static_cast<std::size_t>(id)]);
    if (!reached || !wanted) continue;
    Backward backward(graph, node, needed, partials, recomputation);
    node.op->backward(backward);
  }

  if (request.parameters) store_missing_gradients(graph, partials);

  std::vector<ValueId> gradients;
  for (const ValueId id : request.inputs) {
    const auto it = partials.find(id);
    gradients.push_back(it == partials.end() ? no_value : it->second);
  }
  return gradients;
}

}  // namespace dnas::engine
