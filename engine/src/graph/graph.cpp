#include "dnas/engine/graph.hpp"

#include "dnas/kernels/elementwise.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/concat.hpp"
#include "nodes/copy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace dnas::engine {

void Op::backward(Backward& /*backward*/) const {
  throw UnsupportedError(fmt::format("{}: has no gradient", kind()));
}

ValueId Graph::new_value(const TensorType& type, Storage storage, int slot) {
  values_.push_back(Value{type, storage, slot, no_value, 0});
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::input(const std::string& name, const TensorType& type) {
  if (std::find(input_names_.begin(), input_names_.end(), name) != input_names_.end()) {
    throw Error(fmt::format("graph: input '{}' is there already", name));
  }
  input_names_.push_back(name);
  return new_value(type, Storage::input, static_cast<int>(input_names_.size() - 1));
}

ValueId Graph::parameter(const ParameterSpec& spec) {
  const int slot = tables_.parameters->declare(spec);
  const auto [it, fresh] = bound_.try_emplace({Storage::parameter, slot}, no_value);
  if (fresh) it->second = new_value(spec.shape, Storage::parameter, slot);
  return it->second;
}

ValueId Graph::state(const ParameterSpec& spec) {
  const int slot = tables_.states->declare(spec);
  const auto [it, fresh] = bound_.try_emplace({Storage::state, slot}, no_value);
  if (fresh) it->second = new_value(spec.shape, Storage::state, slot);
  return it->second;
}

std::span<const ValueId> Graph::add(std::shared_ptr<const Op> op, std::span<const ValueId> inputs) {
  std::string key = op->key();
  if (key.empty()) return add_again(std::move(op), inputs);
  key += fmt::format("({})", fmt::join(inputs, ","));
  if (const auto it = merged_.find(key); it != merged_.end()) return nodes_[it->second].outputs;
  const auto outputs = add_again(std::move(op), inputs);
  merged_.emplace(std::move(key), nodes_.size() - 1);
  return outputs;
}

std::span<const ValueId> Graph::add_again(std::shared_ptr<const Op> op, std::span<const ValueId> inputs) {
  for (const ValueId id : inputs) {
    if (id < no_value || id >= static_cast<ValueId>(values_.size())) {
      throw Error(fmt::format("graph: {}: input is value {}, which the graph does not have", op->kind(), id));
    }
  }
  std::vector<TensorType> types;
  types.reserve(inputs.size());
  for (const ValueId id : inputs)
    types.push_back(type(id));
  Node node{std::move(op), {inputs.begin(), inputs.end()}, {}};
  const std::vector<TensorType> outputs = node.op->infer(types);
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    const ValueId id = new_value(outputs[static_cast<std::size_t>(i)], Storage::arena, -1);
    if (const Sharing sharing = node.op->sharing(i, types); sharing.required) {
      Value& v = values_.back();
      v.shares = node.inputs[static_cast<std::size_t>(sharing.input)];
      v.channel_offset = sharing.channel_offset;
    }
    node.outputs.push_back(id);
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs;
}

ValueId Graph::add1(std::shared_ptr<const Op> op, std::span<const ValueId> inputs) {
  return add(std::move(op), inputs).front();
}

ValueId Graph::concat(std::span<const ValueId> inputs) {
  if (inputs.size() == 1) return inputs.front();
  std::vector<ValueId> parts;
  for (const ValueId id : inputs) {
    const Value& v = value(id);
    const bool placed =
        v.storage != Storage::arena || v.shares != no_value || std::find(parts.begin(), parts.end(), id) != parts.end();
    parts.push_back(placed ? add1(std::make_shared<CopyOp>(), std::array{id, no_value}) : id);
  }
  const ValueId result = add1(std::make_shared<ConcatOp>(), parts);
  std::int64_t offset = 0;
  for (const ValueId id : parts) {
    Value& v = values_[static_cast<std::size_t>(id)];
    v.shares = result;
    v.channel_offset = offset;
    offset += v.type.shape[-1];
  }
  return result;
}

void Graph::output(const std::string& name, ValueId value) {
  if (value < 0 || value >= static_cast<ValueId>(values_.size())) {
    throw Error(fmt::format("graph: output '{}' is value {}, which the graph does not have", name, value));
  }
  outputs_[name] = value;
}

void Graph::store_as_gradient(ValueId value, ValueId parameter) {
  Value& v = values_[static_cast<std::size_t>(value)];
  const int slot = this->value(parameter).slot;
  if (!bound_.try_emplace({Storage::gradient, slot}, value).second) {
    throw Error(fmt::format("graph: parameter {} has its gradient already",
                            tables_.parameters->specs()[static_cast<std::size_t>(slot)].name));
  }
  v.storage = Storage::gradient;
  v.slot = slot;
}

const TensorType& Graph::type(ValueId id) const {
  static const TensorType absent;
  return id == no_value ? absent : value(id).type;
}

int Graph::input_slot(std::string_view name) const {
  const auto it = std::find(input_names_.begin(), input_names_.end(), name);
  if (it == input_names_.end()) throw Error(fmt::format("graph: no input '{}'", name));
  return static_cast<int>(it - input_names_.begin());
}

ValueId Graph::output(std::string_view name) const {
  const auto it = outputs_.find(name);
  if (it == outputs_.end()) throw Error(fmt::format("graph: no output '{}'", name));
  return it->second;
}

}  // namespace dnas::engine
