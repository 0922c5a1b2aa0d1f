#include "dnas/engine/fusion.hpp"

#include "dnas/kernels/error.hpp"

#include "nodes/batch_norm.hpp"
#include "nodes/batch_statistics.hpp"
#include "nodes/depthwise_conv.hpp"
#include "nodes/node_reduction.hpp"
#include "nodes/pointwise_conv.hpp"
#include "nodes/separable_bundle.hpp"
#include "nodes/weighted_sum.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>

namespace dnas::engine {

namespace {

using NodeIndex = std::size_t;
constexpr NodeIndex no_node = static_cast<NodeIndex>(-1);

enum BatchNormInput { x_in, gamma_in, beta_in, running_mean_in, running_var_in };
enum BatchNormOutput { y_out, mean_out, rstd_out };

/// Who computes and who reads the values of a graph.
class Uses {
 public:
  explicit Uses(const Graph& graph)
      : producer_(graph.values().size(), no_node),
        reader_(graph.values().size(), no_node),
        readers_(graph.values().size(), 0) {
    for (NodeIndex i = 0; i < graph.nodes().size(); ++i) {
      for (const ValueId id : graph.nodes()[i].outputs)
        producer_[index(id)] = i;
      for (const ValueId id : graph.nodes()[i].inputs) {
        if (id == no_value) continue;
        reader_[index(id)] = i;
        ++readers_[index(id)];
      }
    }
    for (const auto& [name, id] : graph.outputs())
      named_.insert(id);
  }

  /// no_node for inputs, parameters and states.
  [[nodiscard]] NodeIndex producer(ValueId id) const { return producer_[index(id)]; }
  /// The one node that reads a value, once; no_node if there are none or several, or it is an output of the graph.
  [[nodiscard]] NodeIndex only_reader(ValueId id) const {
    return readers_[index(id)] == 1 && !named_.contains(id) ? reader_[index(id)] : no_node;
  }
  [[nodiscard]] int readers(ValueId id) const { return readers_[index(id)]; }
  [[nodiscard]] bool unread(ValueId id) const { return readers_[index(id)] == 0 && !named_.contains(id); }
  [[nodiscard]] bool named(ValueId id) const { return named_.contains(id); }

 private:
  static std::size_t index(ValueId id) { return static_cast<std::size_t>(id); }

  std::vector<NodeIndex> producer_;
  std::vector<NodeIndex> reader_;  // the last of them
  std::vector<int> readers_;
  std::set<ValueId> named_;
};

/// relu -> depthwise_conv -> pointwise_conv -> batch_norm, by node.
struct Chain {
  NodeIndex relu = no_node;
  NodeIndex depthwise = no_node;
  NodeIndex pointwise = no_node;
  NodeIndex batch_norm = no_node;
  kernels::DepthwiseConv conv;
  bool normalised_source = false;  ///< the relu reads the batch norm of another chain
};

/// What is fused, and where it is computed.
struct Fusions {
  std::map<NodeIndex, std::vector<std::vector<Chain>>> bundles;         ///< by the first depthwise_conv
  std::map<NodeIndex, std::vector<std::vector<NodeIndex>>> statistics;  ///< batch norms of one x, by the first of them
  std::set<NodeIndex> replaced;                                         ///< nodes that are no longer there
};

class Matcher {
 public:
  explicit Matcher(const Graph& graph) : graph_(graph), uses_(graph) {}

  Fusions match() {
    // A chain may end in the next one: the last come first.
    for (NodeIndex i = graph_.nodes().size(); i-- > 0;) {
      if (std::optional<Chain> chain = match_chain(i)) {
        by_depthwise_.insert(chain->depthwise);
        chains_.emplace(i, *chain);
      } else if (is_fusable_batch_norm(i) && ends_in_sum(y_of(i))) {
        statistics_.push_back(i);
      }
    }
    for (auto& [batch_norm, chain] : chains_)
      chain.normalised_source = chains_.contains(uses_.producer(source_of(chain)));
    std::ranges::reverse(statistics_);
    collect_bundles();
    collect_statistics();
    collect_relus();
    return std::move(fusions_);
  }

 private:
  [[nodiscard]] const Node& node(NodeIndex i) const { return graph_.nodes()[i]; }
  [[nodiscard]] bool is(NodeIndex i, std::string_view kind) const { return i != no_node && node(i).op->kind() == kind; }
  [[nodiscard]] ValueId y_of(NodeIndex batch_norm) const { return node(batch_norm).outputs[y_out]; }
  [[nodiscard]] ValueId source_of(const Chain& chain) const { return node(chain.relu).inputs[0]; }

  /// Without affine part, with the usual settings, which fused nodes take for granted, and moving statistics that
  /// nobody else moves: their order would show.
  [[nodiscard]] bool is_fusable_batch_norm(NodeIndex i) const {
    if (!is(i, "batch_norm")) return false;
    const Node& bn = node(i);
    return dynamic_cast<const BatchNormOp&>(*bn.op).settings() == kernels::BatchNorm{} &&
           bn.inputs[gamma_in] == no_value && bn.inputs[running_mean_in] != no_value &&
           uses_.readers(bn.inputs[running_mean_in]) == 1 && uses_.readers(bn.inputs[running_var_in]) == 1 &&
           uses_.unread(bn.outputs[mean_out]) && uses_.unread(bn.outputs[rstd_out]) &&
           graph_.shape(bn.inputs[x_in]).rank() == 4;
  }
  /// As a term, not as the weights.
  [[nodiscard]] bool ends_in_sum(ValueId y) const {
    const NodeIndex sum = uses_.only_reader(y);
    return is(sum, "weighted_sum") && node(sum).inputs[0] != y;
  }
  [[nodiscard]] bool ends_in_chain(ValueId y) const {
    const NodeIndex relu = uses_.only_reader(y);
    return is(relu, "relu") && by_depthwise_.contains(uses_.only_reader(node(relu).outputs[0]));
  }

  /// What a bundle computes; kernels/separable_bundle.hpp states the limits.
  static bool is_supported(const kernels::DepthwiseConv& conv) {
    const int reach = (conv.kernel - 1) * conv.dilation;
    return conv.kernel <= kernels::max_bundle_kernel && conv.stride <= kernels::max_bundle_stride &&
           reach < kernels::max_bundle_span && conv.padding <= reach;
  }

  [[nodiscard]] std::optional<Chain> match_chain(NodeIndex batch_norm) const {
    if (!is_fusable_batch_norm(batch_norm)) return std::nullopt;
    if (!ends_in_sum(y_of(batch_norm)) && !ends_in_chain(y_of(batch_norm))) return std::nullopt;
    // The node before, if nothing else reads its result.
    const auto before = [&](NodeIndex i) {
      const ValueId x = node(i).inputs[0];
      return uses_.only_reader(x) == i ? uses_.producer(x) : no_node;
    };
    Chain chain;
    chain.batch_norm = batch_norm;
    chain.pointwise = before(batch_norm);
    if (!is(chain.pointwise, "pointwise_conv")) return std::nullopt;
    const auto& pointwise = dynamic_cast<const PointwiseConvOp&>(*node(chain.pointwise).op).conv();
    if (pointwise.stride != 1 || pointwise.offset != 0 || pointwise.groups != 1) return std::nullopt;
    chain.depthwise = before(chain.pointwise);
    if (!is(chain.depthwise, "depthwise_conv")) return std::nullopt;
    chain.conv = dynamic_cast<const DepthwiseConvOp&>(*node(chain.depthwise).op).conv();
    if (!is_supported(chain.conv)) return std::nullopt;
    chain.relu = uses_.producer(node(chain.depthwise).inputs[0]);  // others may read it too
    if (!is(chain.relu, "relu")) return std::nullopt;
    return chain;
  }

  void collect_bundles() {
    // Chains by what one bundle must have in common, in the order of the graph.
    std::map<std::tuple<ValueId, int, std::int64_t, std::int64_t>, std::vector<Chain>> groups;
    for (const auto& [batch_norm, chain] : chains_) {
      const Shape& y = graph_.shape(y_of(batch_norm));
      groups[{source_of(chain), chain.conv.stride, y[1], y[2]}].push_back(chain);
      fusions_.replaced.insert({chain.depthwise, chain.pointwise, chain.batch_norm});
    }
    for (auto& [key, chains] : groups) {
      std::ranges::sort(chains, {}, &Chain::depthwise);
      for (std::size_t first = 0; first < chains.size(); first += kernels::max_bundle_terms) {
        const auto begin = chains.begin() + static_cast<std::ptrdiff_t>(first);
        const std::size_t terms = std::min(kernels::max_bundle_terms, chains.size() - first);
        fusions_.bundles[begin->depthwise].emplace_back(begin, begin + static_cast<std::ptrdiff_t>(terms));
      }
    }
  }

  void collect_statistics() {
    std::map<ValueId, std::vector<NodeIndex>> open;  // x -> batch norms that may still get another one
    const auto close = [&](std::vector<NodeIndex>& batch_norms) {
      fusions_.statistics[batch_norms.front()].push_back(std::move(batch_norms));
      batch_norms.clear();
    };
    for (const NodeIndex i : statistics_) {
      fusions_.replaced.insert(i);
      std::vector<NodeIndex>& batch_norms = open[node(i).inputs[x_in]];
      batch_norms.push_back(i);
      if (batch_norms.size() == max_statistics_readers) close(batch_norms);
    }
    for (auto& [x, batch_norms] : open) {
      if (!batch_norms.empty()) close(batch_norms);
    }
  }

  /// A bundle computes its relu itself.
  void collect_relus() {
    std::map<NodeIndex, int> in_chains;
    for (const auto& [batch_norm, chain] : chains_)
      ++in_chains[chain.relu];
    for (const auto& [relu, count] : in_chains) {
      const ValueId z = node(relu).outputs[0];
      if (uses_.readers(z) == count && !uses_.named(z)) fusions_.replaced.insert(relu);
    }
  }

  const Graph& graph_;
  Uses uses_;
  std::set<NodeIndex> by_depthwise_;
  std::map<NodeIndex, Chain> chains_;  // by batch norm
  std::vector<NodeIndex> statistics_;
  Fusions fusions_;
};

/// Builds the new graph, node by node in the order of the old one.
class Rewriter {
 public:
  Rewriter(const Graph& old, const Fusions& fusions) : old_(old), fusions_(fusions) {
    result_.graph = std::make_shared<Graph>(old.mode(), old.tables());
    result_.values.assign(old.values().size(), no_value);
  }

  FusedGraph rewrite() {
    for (std::size_t id = 0; id < old_.values().size(); ++id)
      result_.values[id] = declare(old_.values()[id]);
    for (NodeIndex i = 0; i < old_.nodes().size(); ++i) {
      if (const auto it = fusions_.bundles.find(i); it != fusions_.bundles.end()) {
        for (const std::vector<Chain>& chains : it->second)
          add_bundle(chains);
      }
      if (const auto it = fusions_.statistics.find(i); it != fusions_.statistics.end()) {
        for (const std::vector<NodeIndex>& batch_norms : it->second)
          add_statistics(batch_norms);
      }
      if (!fusions_.replaced.contains(i)) add_node(old_.nodes()[i]);
    }
    for (const auto& [name, id] : old_.outputs())
      graph().output(name, result_.at(id));
    return std::move(result_);
  }

 private:
  /// A value with the normalisation that makes it the y of an old batch norm.
  struct Normalised {
    ValueId x = no_value;
    ValueId normalisation = no_value;
  };

  Graph& graph() { return *result_.graph; }
  [[nodiscard]] const Node& node(NodeIndex i) const { return old_.nodes()[i]; }

  ValueId declare(const Value& value) {
    const auto slot = static_cast<std::size_t>(value.slot);
    switch (value.storage) {
      case Storage::input:
        return graph().input(old_.inputs()[slot], value.type);
      case Storage::parameter:
        return graph().parameter(old_.tables().parameters->specs()[slot]);
      case Storage::state:
        return graph().state(old_.tables().states->specs()[slot]);
      case Storage::gradient:
        throw Error("fusion: the graph computes gradients already, expected the forward pass alone");
      case Storage::arena:
        break;
    }
    return no_value;
  }

  void add_bundle(const std::vector<Chain>& chains) {
    const ValueId source = node(chains.front().relu).inputs[0];
    std::vector<ValueId> inputs;
    if (chains.front().normalised_source) {
      const Normalised& stage = normalised_.at(source);
      inputs = {stage.x, stage.normalisation};
    } else {
      inputs = {result_.at(source), no_value};
    }
    std::vector<kernels::SeparableWindow> windows;
    for (const Chain& chain : chains) {
      windows.push_back({chain.conv.kernel, chain.conv.dilation, chain.conv.padding});
      const Node& batch_norm = node(chain.batch_norm);
      for (const ValueId id : {node(chain.depthwise).inputs[1], node(chain.pointwise).inputs[1],
                               batch_norm.inputs[running_mean_in], batch_norm.inputs[running_var_in]})
        inputs.push_back(result_.at(id));
    }
    const auto out =
        graph().add(std::make_shared<SeparableBundleOp>(chains.front().conv.stride, std::move(windows)), inputs);
    for (std::size_t k = 0; k < chains.size(); ++k)
      normalised_[node(chains[k].batch_norm).outputs[y_out]] = {out[2 * k], out[2 * k + 1]};
  }

  void add_statistics(const std::vector<NodeIndex>& batch_norms) {
    std::vector<ValueId> inputs{result_.at(node(batch_norms.front()).inputs[x_in])};
    for (const NodeIndex i : batch_norms) {
      inputs.push_back(result_.at(node(i).inputs[running_mean_in]));
      inputs.push_back(result_.at(node(i).inputs[running_var_in]));
    }
    const auto out = graph().add(std::make_shared<BatchStatisticsOp>(), inputs);
    for (std::size_t e = 0; e < batch_norms.size(); ++e)
      normalised_[node(batch_norms[e]).outputs[y_out]] = {out[2 * e], out[2 * e + 1]};
  }

  void add_node(const Node& node) {
    if (std::ranges::any_of(node.inputs, [&](ValueId id) { return normalised_.contains(id); })) {
      add_reduction(node);
      return;
    }
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs)
      inputs.push_back(id == no_value ? no_value : result_.at(id));
    if (node.op->kind() == "concat") {
      result_.values[static_cast<std::size_t>(node.outputs[0])] = graph().concat(inputs);
      return;
    }
    const auto out = graph().add(node.op, inputs);
    for (std::size_t k = 0; k < out.size(); ++k)
      result_.values[static_cast<std::size_t>(node.outputs[k])] = out[k];
  }

  void add_reduction(const Node& sum) {
    std::vector<ValueId> inputs{result_.at(sum.inputs[0])};
    for (std::size_t k = 1; k < sum.inputs.size(); ++k) {
      const auto it = normalised_.find(sum.inputs[k]);
      inputs.push_back(it != normalised_.end() ? it->second.x : result_.at(sum.inputs[k]));
      inputs.push_back(it != normalised_.end() ? it->second.normalisation : no_value);
    }
    const auto& index = dynamic_cast<const WeightedSumOp&>(*sum.op).index();
    result_.values[static_cast<std::size_t>(sum.outputs[0])] =
        graph().add1(std::make_shared<NodeReductionOp>(index), inputs);
  }

  const Graph& old_;
  const Fusions& fusions_;
  std::map<ValueId, Normalised> normalised_;  // by the y of the old batch norm
  FusedGraph result_;
};

}  // namespace

FusedGraph fuse_mixed_operations(const Graph& graph) {
  if (graph.mode() == Mode::eval) {
    FusedGraph same{std::make_shared<Graph>(graph), std::vector<ValueId>(graph.values().size())};
    std::iota(same.values.begin(), same.values.end(), ValueId{0});
    return same;
  }
  const Fusions fusions = Matcher(graph).match();
  return Rewriter(graph, fusions).rewrite();
}

}  // namespace dnas::engine
