#include "graph/lifetime.hpp"

#include <algorithm>
#include <numeric>

namespace dnas::engine {

Lifetimes::Lifetimes(const Graph& graph, const std::vector<std::size_t>& order)
    : graph_(graph),
      joined_(graph.values().size()),
      first_(graph.values().size(), never_used),
      last_(graph.values().size(), 0) {
  std::iota(joined_.begin(), joined_.end(), ValueId{0});
  const auto touch = [&](ValueId id, std::size_t position) {
    if (id == no_value) return;
    const auto r = static_cast<std::size_t>(root(id));
    if (first_[r] == never_used) first_[r] = position;
    last_[r] = std::max(last_[r], position);
  };
  for (std::size_t position = 0; position < order.size(); ++position) {
    const Node& node = graph.nodes()[order[position]];
    for (const ValueId id : node.inputs)
      touch(id, position);
    for (const ValueId id : node.outputs)
      touch(id, position);
  }
  for (const auto& [name, id] : graph.outputs())
    touch(id, order.size());
  share_dying_inputs(order);
}

ValueId Lifetimes::root(ValueId value) const {
  for (;;) {
    while (graph_.value(value).shares != no_value)
      value = graph_.value(value).shares;
    const ValueId into = joined_[static_cast<std::size_t>(value)];
    if (into == value) return value;
    value = into;
  }
}

std::int64_t Lifetimes::channel_offset(ValueId value) const {
  // Joined roots coincide, so only the sharing below a root shifts a value.
  std::int64_t offset = 0;
  for (;;) {
    while (graph_.value(value).shares != no_value) {
      offset += graph_.value(value).channel_offset;
      value = graph_.value(value).shares;
    }
    const ValueId into = joined_[static_cast<std::size_t>(value)];
    if (into == value) return offset;
    value = into;
  }
}

void Lifetimes::share_dying_inputs(const std::vector<std::size_t>& order) {
  std::vector<TensorType> types;
  std::vector<ValueId> taken;
  for (std::size_t position = 0; position < order.size(); ++position) {
    const Node& node = graph_.nodes()[order[position]];
    types.clear();
    taken.clear();
    for (const ValueId id : node.inputs)
      types.push_back(graph_.type(id));
    for (int i = 0; i < static_cast<int>(node.outputs.size()); ++i) {
      const Sharing sharing = node.op->sharing(i, types);
      if (sharing.input < 0 || sharing.required) continue;
      const ValueId out = node.outputs[static_cast<std::size_t>(i)];
      const ValueId in = node.inputs[static_cast<std::size_t>(sharing.input)];
      if (in == no_value || root(out) != out || graph_.value(out).storage != Storage::arena) continue;
      const ValueId r = root(in);
      const auto ri = static_cast<std::size_t>(r);
      const bool dies_here =
          graph_.value(r).storage == Storage::arena && last_[ri] == position && first_[ri] < position;
      // The whole piece, of the same size: a slice of a wider tensor has other pixel strides.
      const bool same_size = graph_.type(r) == graph_.type(out) && graph_.type(in) == graph_.type(out);
      const auto readers = std::count_if(node.inputs.begin(), node.inputs.end(),
                                         [&](ValueId id) { return id != no_value && root(id) == r; });
      const bool free = std::find(taken.begin(), taken.end(), r) == taken.end();
      if (!dies_here || !same_size || readers != 1 || !free) continue;
      taken.push_back(r);
      joined_[static_cast<std::size_t>(out)] = r;
      last_[ri] = last_[static_cast<std::size_t>(out)];
    }
  }
}

}  // namespace dnas::engine
