#include "dnas/engine/plan.hpp"

#include "graph/arena.hpp"
#include "graph/lifetime.hpp"

#include <algorithm>
#include <map>

namespace dnas::engine {

namespace {

/// Nodes that the outputs and the parameter gradients depend on, in order.
std::vector<std::size_t> needed_nodes(const Graph& graph) {
  std::vector<bool> needed(graph.values().size(), false);
  for (const auto& [name, id] : graph.outputs())
    needed[static_cast<std::size_t>(id)] = true;
  for (std::size_t id = 0; id < needed.size(); ++id) {
    if (graph.values()[id].storage == Storage::gradient) needed[id] = true;
    // A sum in place over a gradient is part of that gradient.
    ValueId base = graph.values()[id].shares;
    while (base != no_value) {
      if (graph.value(base).storage == Storage::gradient) needed[id] = true;
      base = graph.value(base).shares;
    }
  }
  std::vector<std::size_t> order;
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    const bool wanted = std::any_of(node.outputs.begin(), node.outputs.end(),
                                    [&](ValueId id) { return needed[static_cast<std::size_t>(id)]; });
    if (!wanted) continue;
    order.push_back(i);
    for (const ValueId id : node.inputs) {
      if (id != no_value) needed[static_cast<std::size_t>(id)] = true;
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

std::int64_t flat_offset(const Graph& graph, const Value& value) {
  const ParameterTable& table = value.storage == Storage::state ? *graph.tables().states : *graph.tables().parameters;
  return table.specs()[static_cast<std::size_t>(value.slot)].offset * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

Plan::Plan(std::shared_ptr<const Graph> graph, const Context& ctx)
    : graph_(std::move(graph)),
      nodes_(needed_nodes(*graph_)),
      placements_(graph_->values().size()),
      workspaces_(graph_->nodes().size()) {
  const Lifetimes lifetimes(*graph_, nodes_);

  std::vector<Block> blocks;
  std::map<ValueId, std::size_t> block_of;  // arena roots
  for (std::size_t id = 0; id < placements_.size(); ++id) {
    const auto value = static_cast<ValueId>(id);
    if (lifetimes.root(value) != value || graph_->value(value).storage != Storage::arena) continue;
    if (lifetimes.first(value) == Lifetimes::never_used) continue;
    block_of.emplace(value, blocks.size());
    blocks.push_back({graph_->type(value).bytes(), lifetimes.first(value), lifetimes.last(value), 0});
  }
  std::vector<std::size_t> workspace_block(nodes_.size());
  std::vector<TensorType> types;
  for (std::size_t position = 0; position < nodes_.size(); ++position) {
    const Node& node = graph_->nodes()[nodes_[position]];
    types.clear();
    for (const ValueId id : node.inputs)
      types.push_back(graph_->type(id));
    workspace_block[position] = blocks.size();
    blocks.push_back({node.op->workspace(ctx, types), position, position, 0});
  }

  arena_bytes_ = place_blocks(blocks);
  live_bytes_ = peak_live_bytes(blocks);

  for (std::size_t position = 0; position < nodes_.size(); ++position) {
    const Block& block = blocks[workspace_block[position]];
    workspaces_[nodes_[position]] = {block.offset, block.bytes};
  }
  for (std::size_t id = 0; id < placements_.size(); ++id) {
    const auto value = static_cast<ValueId>(id);
    const ValueId root = lifetimes.root(value);
    const Value& r = graph_->value(root);
    Placement& place = placements_[id];
    place.storage = r.storage;
    place.slot = r.slot;
    place.pixel_stride = r.type.shape.rank() > 0 ? r.type.shape[-1] : 1;
    place.offset = lifetimes.channel_offset(value) * static_cast<std::int64_t>(size_of(r.type.dtype));
    if (r.storage == Storage::arena) {
      const auto it = block_of.find(root);
      if (it != block_of.end()) place.offset += static_cast<std::int64_t>(blocks[it->second].offset);
    } else if (r.storage != Storage::input) {
      place.offset += flat_offset(*graph_, r);
    }
  }
}

}  // namespace dnas::engine
