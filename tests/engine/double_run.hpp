#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/kernels/batch_norm.hpp"
#include "dnas/kernels/conv.hpp"
#include "engine/graph_runs.hpp"
#include "reference/batch_norm_ref.hpp"
#include "reference/conv_ref.hpp"
#include "reference/cross_entropy_ref.hpp"
#include "reference/depthwise_conv_ref.hpp"
#include "reference/elementwise_ref.hpp"
#include "reference/linear_ref.hpp"
#include "reference/pointwise_conv_ref.hpp"
#include "reference/pool_ref.hpp"

#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace dnas::engine::test_graphs {

/// The forward pass of a graph of plain nodes in double precision, by the loops of tests/reference.
class DoubleRun {
 public:
  using Values = std::vector<double>;

  /// Starts from these weights, running statistics of a new network, and the inputs.
  DoubleRun(const Graph& graph, const InputValues& inputs, const ParameterSet& weights) : graph_(graph) {
    for (std::size_t id = 0; id < graph.values().size(); ++id) {
      const Value& value = graph.values()[id];
      const auto v = static_cast<ValueId>(id);
      if (value.storage == Storage::parameter) {
        const std::span<const float> w = weights.values(value.slot);
        leaves_[v].assign(w.begin(), w.end());
        parameters_[graph.tables().parameters->specs()[static_cast<std::size_t>(value.slot)].name] = v;
      } else if (value.storage == Storage::state) {
        const ParameterSpec& spec = graph.tables().states->specs()[static_cast<std::size_t>(value.slot)];
        leaves_[v].assign(static_cast<std::size_t>(spec.shape.elements()),
                          spec.init == ParameterInit::ones ? 1.0 : 0.0);
        states_[spec.name] = v;
      } else if (value.storage == Storage::input) {
        const std::string& name = graph.inputs()[static_cast<std::size_t>(value.slot)];
        const TensorView& view = inputs[name];
        if (view.dtype == DType::i64) {
          labels_.assign(view.i64(), view.i64() + view.elements());
        } else {
          leaves_[v].assign(view.f32(), view.f32() + view.elements());
          parameters_[name] = v;
        }
      }
    }
  }

  /// Of a parameter or an input.
  [[nodiscard]] Values& operator[](const std::string& name) { return leaves_.at(parameters_.at(name)); }
  /// A running statistic that runs start from.
  [[nodiscard]] Values& initial_state(const std::string& name) { return leaves_.at(states_.at(name)); }
  /// A running statistic after the last run().
  [[nodiscard]] const Values& state(const std::string& name) const { return values_.at(states_.at(name)); }

  /// The value of the output "loss".
  double run() {
    values_ = leaves_;
    for (const Node& node : graph_.nodes())
      run(node);
    return values_.at(graph_.output("loss")).front();
  }

 private:
  void run(const Node& node) {
    const std::string_view kind = node.op->kind();
    const ValueId to = node.outputs[0];
    const Shape& y = graph_.shape(to);
    const auto in = [&](std::size_t k) -> const Values& { return values_.at(node.inputs[k]); };
    const auto shape = [&](std::size_t k) -> const Shape& { return graph_.shape(node.inputs[k]); };
    if (kind == "relu") {
      values_[to] = reference::relu(in(0));
    } else if (kind == "depthwise_conv") {
      const auto a = attributes(node);
      const kernels::DepthwiseConv conv{.kernel = a[0], .stride = a[1], .dilation = a[2], .padding = a[3]};
      values_[to] = reference::depthwise_conv_forward(conv, shape(0), y, in(0), in(1));
    } else if (kind == "pointwise_conv") {
      const auto a = attributes(node);
      values_[to] = reference::pointwise_conv_forward({shape(0), y, a[0], a[1], a[2]}, in(0), in(1));
    } else if (kind == "conv") {
      const auto a = attributes(node);
      const kernels::Conv conv{
          .kernel_h = a[0], .kernel_w = a[1], .stride_h = a[2], .stride_w = a[3], .padding_h = a[4], .padding_w = a[5]};
      values_[to] = reference::conv_forward({conv, shape(0), y}, in(0), in(1));
    } else if (kind == "max_pool") {
      values_[to] = reference::max_pool_forward(pool(node), shape(0), y, in(0)).y;
    } else if (kind == "avg_pool") {
      values_[to] = reference::avg_pool_forward(pool(node), shape(0), y, in(0));
    } else if (kind == "global_avg_pool") {
      values_[to] = reference::global_avg_pool_forward(shape(0), in(0));
    } else if (kind == "linear") {
      const auto size = [](std::int64_t extent) { return static_cast<std::size_t>(extent); };
      values_[to] = reference::linear_forward({size(y[0]), size(shape(0)[1]), size(y[1])}, in(0), in(1), in(2));
    } else if (kind == "batch_norm") {
      batch_norm(node);
    } else if (kind == "batch_norm_inference") {
      values_[to] = reference::batch_norm(in(0), {in(3), in(4)}, affine(node, 1, 1.0), affine(node, 2, 0.0),
                                          kernels::BatchNorm{}.epsilon);
    } else if (kind == "weighted_sum") {
      const std::vector<int> index = attributes(node);
      Values sum(static_cast<std::size_t>(y.elements()), 0.0);
      for (std::size_t k = 0; k < index.size(); ++k) {
        const double w = in(0)[static_cast<std::size_t>(index[k])];
        for (std::size_t i = 0; i < sum.size(); ++i)
          sum[i] += w * in(k + 1)[i];
      }
      values_[to] = std::move(sum);
    } else if (kind == "concat" || kind == "copy") {
      Values whole;
      for (std::size_t p = 0; p < static_cast<std::size_t>(y.elements() / y[-1]); ++p) {
        for (std::size_t k = 0; k < node.inputs.size(); ++k) {
          if (node.inputs[k] == no_value) continue;
          const auto c = static_cast<std::ptrdiff_t>(shape(k)[-1]);
          const auto pixel = in(k).begin() + static_cast<std::ptrdiff_t>(p) * c;
          whole.insert(whole.end(), pixel, pixel + c);
        }
      }
      values_[to] = std::move(whole);
    } else if (kind == "cross_entropy") {
      constexpr double smoothing = 0.1F;
      values_[to] = {reference::cross_entropy(in(0), labels_, smoothing)};
    } else {
      throw std::invalid_argument("no double-precision form of " + std::string(kind));
    }
  }

  /// gamma or beta of a batch norm.
  [[nodiscard]] Values affine(const Node& node, std::size_t input, double otherwise) const {
    const auto channels = static_cast<std::size_t>(graph_.shape(node.inputs[0])[-1]);
    return node.inputs[input] == no_value ? Values(channels, otherwise) : values_.at(node.inputs[input]);
  }

  void batch_norm(const Node& node) {
    const kernels::BatchNorm settings;
    const Values& x = values_.at(node.inputs[0]);
    const auto channels = static_cast<std::size_t>(graph_.shape(node.inputs[0])[-1]);
    const reference::BatchStatistics s = reference::batch_statistics(x, channels);
    values_[node.outputs[0]] =
        reference::batch_norm(x, s, affine(node, 1, 1.0), affine(node, 2, 0.0), settings.epsilon);
    const std::size_t pixels = x.size() / channels;
    const auto m = static_cast<double>(pixels);
    for (std::size_t c = 0; c < channels; ++c) {
      double& mean = values_.at(node.inputs[3])[c];
      double& var = values_.at(node.inputs[4])[c];
      mean += settings.momentum * (s.mean[c] - mean);
      var += settings.momentum * (s.variance[c] * m / (m - 1.0) - var);
    }
  }

  static kernels::Pool pool(const Node& node) {
    const auto a = attributes(node);
    return {.kernel = a[0], .stride = a[1], .padding = a[2]};
  }

  /// All numbers of an operation's key, in order.
  static std::vector<int> attributes(const Node& node) {
    const std::string key = node.op->key();
    std::vector<int> numbers;
    for (std::size_t i = 0; i < key.size();) {
      const bool digit = key[i] >= '0' && key[i] <= '9';
      if (!digit) {
        ++i;
        continue;
      }
      std::size_t length = 0;
      numbers.push_back(std::stoi(key.substr(i), &length));
      i += length;
    }
    return numbers;
  }

  const Graph& graph_;
  std::map<ValueId, Values> leaves_;
  std::map<ValueId, Values> values_;
  std::map<std::string, ValueId> parameters_;
  std::map<std::string, ValueId> states_;
  std::vector<std::int64_t> labels_;
};

}  // namespace dnas::engine::test_graphs
