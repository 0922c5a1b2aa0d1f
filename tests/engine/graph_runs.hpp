#pragma once

#include "dnas/engine/executor.hpp"
#include "dnas/engine/graph.hpp"
#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/rng.hpp"
#include "support/tensors.hpp"

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dnas::engine::test_graphs {

/// A buffer full of 0xFF bytes: NaN as f32, an index far out of range as anything else.
inline Buffer poisoned(std::size_t bytes) {
  Buffer buffer(bytes);
  if (bytes > 0) std::memset(buffer.data(), 0xFF, bytes);
  return buffer;
}

/// The elements of a view as dense bytes: equal bytes mean bit-identical values.
inline std::string bytes_of(const TensorView& view) {
  const std::size_t pixel = static_cast<std::size_t>(view.channels()) * size_of(view.dtype);
  std::string bytes;
  for (std::int64_t p = 0; p < view.pixels(); ++p) {
    const auto step = static_cast<std::size_t>(p * view.pixel_stride) * size_of(view.dtype);
    bytes.append(static_cast<const char*>(view.data) + step, pixel);
  }
  return bytes;
}

/// Values for all inputs of a graph: uniform in [-1, 1), "rate" in [0, 0.5), labels and keys in [0, classes).
class InputValues {
 public:
  InputValues(const Graph& graph, std::uint64_t seed, std::int64_t classes) {
    for (const Value& value : graph.values()) {
      if (value.storage != Storage::input) continue;
      const std::string& name = graph.inputs()[static_cast<std::size_t>(value.slot)];
      Buffer& buffer = buffers_.emplace_back(value.type.bytes());
      const TensorView view(buffer.data(), value.type.shape, value.type.dtype);
      const Philox random(seed, Stream::synthetic_data, static_cast<std::uint32_t>(value.slot));
      for (std::int64_t i = 0; i < view.elements(); ++i) {
        const auto element = static_cast<std::uint64_t>(i);
        if (view.dtype == DType::i64) {
          view.i64()[i] = random.below(element, static_cast<std::uint32_t>(classes));
        } else if (name == "rate") {
          view.f32()[i] = 0.5F * random.uniform(element);
        } else {
          view.f32()[i] = 2.0F * random.uniform(element) - 1.0F;
        }
      }
      views_.emplace(name, view);
    }
  }

  [[nodiscard]] const TensorView& operator[](const std::string& name) const { return views_.at(name); }
  [[nodiscard]] const std::map<std::string, TensorView>& all() const { return views_; }

 private:
  std::vector<Buffer> buffers_;
  std::map<std::string, TensorView> views_;
};

/// A graph planned and run as a product would, in poisoned memory.
class PlannedRun {
 public:
  PlannedRun(const std::shared_ptr<const Graph>& graph, const InputValues& inputs, int threads = 1)
      : plan_(std::make_shared<const Plan>(graph, Context::cpu(threads))),
        executor_(plan_, Context::cpu(threads)),
        arena_(poisoned(plan_->arena_bytes())),
        weights_(graph->tables().parameters),
        gradients_(graph->tables().parameters),
        states_(graph->tables().states) {
    weights_.initialise(11);
    executor_.bind({{arena_.data(), arena_.bytes()}, weights_.flat(), gradients_.flat(), states_.flat()});
    for (const auto& [name, view] : inputs.all())
      executor_.set_input(name, view);
  }

  PlannedRun(const std::shared_ptr<const Graph>& graph, InputValues&& inputs,
             int threads = 1) = delete;  // must outlive

  /// Runs from the initial states on, whatever ran before.
  void run() {
    if (arena_.bytes() > 0) std::memset(arena_.data(), 0xFF, arena_.bytes());
    if (!gradients_.flat().empty()) std::memset(gradients_.flat().data(), 0xFF, gradients_.flat().size_bytes());
    states_.initialise(0);
    executor_.run();
  }

  [[nodiscard]] TensorView output(const std::string& name) const { return executor_.output(name); }
  [[nodiscard]] float loss() {
    run();
    return *executor_.output("loss").f32();
  }

  /// Bits of all outputs, gradients and states.
  [[nodiscard]] std::map<std::string, std::string> results() {
    run();
    std::map<std::string, std::string> bits;
    for (const auto& [name, id] : plan_->graph().outputs())
      bits.emplace("output " + name, bytes_of(output(name)));
    const auto specs = weights_.table().specs();
    for (std::size_t i = 0; i < specs.size(); ++i)
      bits.emplace("gradient " + specs[i].name, bytes_of(gradients_.view(static_cast<int>(i))));
    const auto states = states_.table().specs();
    for (std::size_t i = 0; i < states.size(); ++i)
      bits.emplace("state " + states[i].name, bytes_of(states_.view(static_cast<int>(i))));
    return bits;
  }

  [[nodiscard]] const Plan& plan() const { return *plan_; }
  [[nodiscard]] Executor& executor() { return executor_; }
  [[nodiscard]] ParameterSet& weights() { return weights_; }
  [[nodiscard]] ParameterSet& gradients() { return gradients_; }
  [[nodiscard]] std::span<std::byte> arena() { return {arena_.data(), arena_.bytes()}; }
  [[nodiscard]] ParameterSet& states() { return states_; }

 private:
  std::shared_ptr<const Plan> plan_;
  Executor executor_;
  Buffer arena_;
  ParameterSet weights_;
  ParameterSet gradients_;
  ParameterSet states_;
};

/// Runs all nodes of a graph, each value in poisoned memory that nothing shares: what the planned run must equal. A
/// value has the pixel stride that concatenation gives it, because reductions group their terms by it; what an
/// operation expects in memory it shares is copied there.
class UnsharedRun {
 public:
  UnsharedRun(const Graph& graph, const InputValues& inputs)
      : graph_(graph), weights_(graph.tables().parameters), states_(graph.tables().states) {
    weights_.initialise(11);
    states_.initialise(0);
    for (const Value& value : graph.values())
      views_.push_back(place(value, inputs));
    for (const Node& node : graph.nodes())
      run(node);
  }

  [[nodiscard]] const TensorView& view(ValueId id) const { return views_[static_cast<std::size_t>(id)]; }

  /// As PlannedRun::results().
  [[nodiscard]] std::map<std::string, std::string> results() {
    std::map<std::string, std::string> bits;
    for (const auto& [name, id] : graph_.outputs())
      bits.emplace("output " + name, bytes_of(view(id)));
    const auto specs = weights_.table().specs();
    for (const ParameterSpec& spec : specs) {  // what no node writes stays as it was
      bits.emplace("gradient " + spec.name,
                   std::string(static_cast<std::size_t>(spec.shape.elements()) * sizeof(float), '\xFF'));
    }
    for (std::size_t id = 0; id < views_.size(); ++id) {  // the last sum of each gradient remains
      const Value& root = graph_.value(root_of(static_cast<ValueId>(id)));
      if (root.storage != Storage::gradient) continue;
      bits["gradient " + specs[static_cast<std::size_t>(root.slot)].name] = bytes_of(views_[id]);
    }
    const auto states = states_.table().specs();
    for (std::size_t i = 0; i < states.size(); ++i)
      bits.emplace("state " + states[i].name, bytes_of(states_.view(static_cast<int>(i))));
    return bits;
  }

 private:
  [[nodiscard]] ValueId root_of(ValueId id) const {
    while (graph_.value(id).shares != no_value)
      id = graph_.value(id).shares;
    return id;
  }

  TensorView place(const Value& value, const InputValues& inputs) {
    if (value.storage == Storage::input) return inputs[graph_.inputs()[static_cast<std::size_t>(value.slot)]];
    if (value.storage == Storage::parameter) return weights_.view(value.slot);
    if (value.storage == Storage::state) return states_.view(value.slot);
    std::int64_t offset = 0;
    const Value* root = &value;
    while (root->shares != no_value) {
      offset += root->channel_offset;
      root = &graph_.value(root->shares);
    }
    const std::int64_t stride = root->type.shape[-1];
    const std::int64_t pixels = TensorView(nullptr, value.type.shape).pixels();
    const std::size_t element = size_of(value.type.dtype);
    Buffer& buffer = buffers_.emplace_back(poisoned(static_cast<std::size_t>(pixels * stride) * element));
    return {buffer.data() + static_cast<std::size_t>(offset) * element, value.type.shape, stride, value.type.dtype};
  }

  static void copy_channels(const TensorView& from, std::int64_t from_channel, const TensorView& to,
                            std::int64_t to_channel, std::int64_t channels) {
    for (std::int64_t p = 0; p < to.pixels(); ++p) {
      for (std::int64_t c = 0; c < channels; ++c)
        to.f32()[p * to.pixel_stride + to_channel + c] = from.f32()[p * from.pixel_stride + from_channel + c];
    }
  }

  void run(const Node& node) {
    std::vector<TensorType> types;
    std::vector<TensorView> in;
    std::vector<TensorView> out;
    for (const ValueId id : node.inputs) {
      types.push_back(graph_.type(id));
      in.push_back(id == no_value ? TensorView{} : view(id));
    }
    for (const ValueId id : node.outputs)
      out.push_back(view(id));
    for (std::size_t i = 0; i < out.size(); ++i) {
      const Sharing sharing = node.op->sharing(static_cast<int>(i), types);
      if (!sharing.required) continue;
      copy_channels(in[static_cast<std::size_t>(sharing.input)], sharing.channel_offset, out[i], 0, out[i].channels());
    }
    if (node.op->kind() == "concat") {
      std::int64_t channel = 0;
      for (const TensorView& part : in) {
        copy_channels(part, 0, out[0], channel, part.channels());
        channel += part.channels();
      }
    }
    const Context ctx = Context::cpu(1);
    Buffer workspace = poisoned(node.op->workspace(ctx, types));
    node.op->run(ctx, {in, out, {workspace.data(), workspace.bytes()}});
  }

  const Graph& graph_;
  ParameterSet weights_;
  ParameterSet states_;
  std::vector<Buffer> buffers_;
  std::vector<TensorView> views_;
};

}  // namespace dnas::engine::test_graphs
