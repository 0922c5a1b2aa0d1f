#include "dnas/engine/executor.hpp"

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace dnas::engine {

Executor::Executor(std::shared_ptr<const Plan> plan, Context ctx) : plan_(std::move(plan)), ctx_(ctx) {
  const Graph& graph = plan_->graph();
  inputs_.resize(graph.inputs().size());
  input_types_.resize(inputs_.size());
  input_views_.resize(inputs_.size());
  for (const Value& value : graph.values()) {
    if (value.storage == Storage::input) input_types_[static_cast<std::size_t>(value.slot)] = value.type;
  }
  for (const std::size_t index : plan_->nodes()) {
    const Node& node = graph.nodes()[index];
    steps_.push_back({node.op.get(),
                      index,
                      operands_.size(),
                      node.inputs.size(),
                      operands_.size() + node.inputs.size(),
                      node.outputs.size(),
                      {}});
    operands_.insert(operands_.end(), node.inputs.begin(), node.inputs.end());
    operands_.insert(operands_.end(), node.outputs.begin(), node.outputs.end());
  }
  views_.resize(operands_.size());
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    if (operands_[i] == no_value) continue;
    const Placement& place = plan_->placement(operands_[i]);
    if (place.storage == Storage::input) input_views_[static_cast<std::size_t>(place.slot)].push_back(i);
  }
}

TensorView Executor::make_view(ValueId value) const {
  if (value == no_value) return {};
  const TensorType& type = plan_->graph().type(value);
  const Placement& place = plan_->placement(value);
  void* base = nullptr;
  switch (place.storage) {
    case Storage::arena:
      base = bindings_.arena.data();
      break;
    case Storage::input:
      base = inputs_[static_cast<std::size_t>(place.slot)].data;
      break;
    case Storage::parameter:
      base = bindings_.parameters.data();
      break;
    case Storage::gradient:
      base = bindings_.gradients.data();
      break;
    case Storage::state:
      base = bindings_.states.data();
      break;
  }
  if (base == nullptr) return {nullptr, type.shape, place.pixel_stride, type.dtype};
  return {static_cast<std::byte*>(base) + place.offset, type.shape, place.pixel_stride, type.dtype};
}

void Executor::bind(const Bindings& bindings) {
  const NetworkTables& tables = plan_->graph().tables();
  const auto require = [](std::string_view what, std::size_t have, std::size_t need) {
    if (have < need) throw ShapeError(fmt::format("executor: {} has {} bytes, expected {}", what, have, need));
  };
  require("the arena", bindings.arena.size(), plan_->arena_bytes());
  if (reinterpret_cast<std::uintptr_t>(bindings.arena.data()) % Buffer::alignment != 0) {
    throw ShapeError(fmt::format("executor: the arena is not aligned to {} bytes", Buffer::alignment));
  }
  require("the weight array", bindings.parameters.size_bytes(),
          static_cast<std::size_t>(tables.parameters->extent()) * sizeof(float));
  require("the state array", bindings.states.size_bytes(),
          static_cast<std::size_t>(tables.states->extent()) * sizeof(float));
  const auto values = plan_->graph().values();
  if (std::any_of(values.begin(), values.end(), [](const Value& v) { return v.storage == Storage::gradient; })) {
    require("the gradient array", bindings.gradients.size_bytes(),
            static_cast<std::size_t>(tables.parameters->extent()) * sizeof(float));
  }
  bindings_ = bindings;
  bound_ = true;
  for (std::size_t i = 0; i < views_.size(); ++i)
    views_[i] = make_view(operands_[i]);
  for (Step& step : steps_) {
    const Plan::Workspace& w = plan_->workspace(step.node);
    step.workspace = bindings.arena.subspan(w.offset, w.bytes);
  }
}

void Executor::set_input(std::string_view name, const TensorView& view) {
  const auto slot = static_cast<std::size_t>(plan_->graph().input_slot(name));
  const TensorType& type = input_types_[slot];
  if (view.dtype != type.dtype) {
    throw DtypeError(
        fmt::format("executor: input '{}' is {}, expected {}", name, to_string(view.dtype), to_string(type.dtype)));
  }
  if (view.shape != type.shape || !view.dense() || view.data == nullptr) {
    throw ShapeError(fmt::format("executor: input '{}' is {}{}, expected dense {}", name, view.shape.to_string(),
                                 view.data == nullptr ? " without data" : "", type.shape.to_string()));
  }
  inputs_[slot] = view;
  for (const std::size_t i : input_views_[slot])
    views_[i] = make_view(operands_[i]);
}

void Executor::require_memory() const {
  if (!bound_) throw Error("executor: run() before bind()");
  for (std::size_t slot = 0; slot < inputs_.size(); ++slot) {
    if (inputs_[slot].data == nullptr) {
      throw Error(fmt::format("executor: input '{}' is not bound", plan_->graph().inputs()[slot]));
    }
  }
}

void Executor::run_step(const Step& step) const {
  const std::span<const TensorView> views(views_);
  step.op->run(ctx_, {views.subspan(step.first_input, step.inputs), views.subspan(step.first_output, step.outputs),
                      step.workspace});
}

void Executor::run() {
  require_memory();
  for (const Step& step : steps_)
    run_step(step);
}

void Executor::run(RunObserver& observer) {
  require_memory();
  observer.run_starts(*plan_);
  for (const Step& step : steps_) {
    observer.node_starts(*plan_, step.node);
    run_step(step);
    observer.node_ends(*plan_, step.node);
  }
}

TensorView Executor::output(std::string_view name) const {
  if (!bound_) throw Error(fmt::format("executor: output '{}' before bind()", name));
  return make_view(plan_->graph().output(name));
}

}  // namespace dnas::engine
