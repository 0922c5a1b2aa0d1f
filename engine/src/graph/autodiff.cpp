#include "dnas/engine/autodiff.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::engine {

ValueId Backward::gradient(int output) const {
  const auto it = partials_.find(this->output(output));
  return it == partials_.end() ? no_value : it->second;
}

bool Backward::wanted(int input) const {
  const ValueId id = this->input(input);
  return id != no_value && needed_[static_cast<std::size_t>(id)];
}

ValueId Backward::partial(int input) const {
  const auto it = partials_.find(this->input(input));
  return it == partials_.end() ? no_value : it->second;
}

void Backward::set_partial(int input, ValueId sum) {
  const ValueId id = this->input(input);
  const Value& v = graph_.value(id);
  const bool first = partial(input) == no_value;
  partials_[id] = sum;
  if (first && v.storage == Storage::parameter) graph_.store_as_gradient(sum, id);
}

void Backward::contribute(int input, std::shared_ptr<const Op> op, std::vector<ValueId> inputs) {
  inputs.push_back(partial(input));
  set_partial(input, graph_.add1(std::move(op), inputs));
}

std::vector<ValueId> append_backward(Graph& graph, ValueId loss, const GradientRequest& request) {
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
  for (std::size_t i = forward_nodes; i-- > 0;) {
    const Node node = graph.nodes()[i];  // a copy: appending moves the graph's own
    bool reached = false;
    bool wanted = false;
    for (const ValueId id : node.outputs)
      reached = reached || id == loss || partials.contains(id);
    for (const ValueId id : node.inputs)
      wanted = wanted || (id != no_value && needed[static_cast<std::size_t>(id)]);
    if (!reached || !wanted) continue;
    Backward backward(graph, node, needed, partials);
    node.op->backward(backward);
  }

  std::vector<ValueId> gradients;
  for (const ValueId id : request.inputs) {
    const auto it = partials.find(id);
    gradients.push_back(it == partials.end() ? no_value : it->second);
  }
  return gradients;
}

}  // namespace dnas::engine
