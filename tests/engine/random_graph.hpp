#pragma once

#include "dnas/engine/nodes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace dnas::engine::test_graphs {

inline constexpr std::int64_t classes = 4;

/// A network of random nodes that ends in a loss; inputs "x", "mix" and "labels".
struct RandomGraph {
  std::shared_ptr<Graph> graph;
  ValueId x = no_value;
  ValueId mix = no_value;
  ValueId loss = no_value;
  std::vector<ValueId> body;  ///< all values between x and the classifier
};

/// What random graphs are made of: the nodes of DARTS, or those of other search spaces too.
enum class Kinds : std::uint8_t { darts, all };

/// Draws nodes on random earlier values. Values are read by several nodes, several times by one node, and
/// all of them reach the loss; some layers share their parameters.
class RandomGraphBuilder {
 public:
  RandomGraphBuilder(std::uint64_t seed, Mode mode, Kinds kinds) : random_(seed), kinds_(kinds) {
    result_.graph = std::make_shared<Graph>(mode, NetworkTables{});
    const auto extent = [&] { return static_cast<std::int64_t>(3 + below(4)); };
    result_.x = graph().input("x", Shape{2, extent(), extent(), static_cast<std::int64_t>(1 + below(5))});
    result_.mix = graph().input("mix", Shape{2, 3});
    if (kinds == Kinds::all) {
      rate_ = graph().input("rate", Shape{1});
      keys_ = graph().input("random", {Shape{2}, DType::i64});
    }
    append(result_.x);
  }

  RandomGraph build(int nodes) {
    for (int i = 0; i < nodes; ++i)
      append(draw_node());
    finish();
    return result_;
  }

 private:
  Graph& graph() { return *result_.graph; }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }

  void append(ValueId value) {
    unread_.insert(value);
    if (std::find(result_.body.begin(), result_.body.end(), value) != result_.body.end()) return;  // no new node
    result_.body.push_back(value);
  }

  ValueId read(ValueId value) {
    unread_.erase(value);
    return value;
  }
  // Mostly a young value, so that the graph gets deep.
  ValueId pick() {
    const std::size_t n = result_.body.size();
    return read(result_.body[below(3) == 0 ? below(n) : n - 1 - below(std::min<std::size_t>(n, 4))]);
  }

  template <typename Fits>
  std::vector<ValueId> pick_several(Fits fits) {
    const ValueId first = pick();
    std::vector<ValueId> candidates;
    for (const ValueId id : result_.body) {
      if (fits(graph().shape(first), graph().shape(id))) candidates.push_back(id);
    }
    std::vector<ValueId> values{first};
    if (candidates.empty()) return values;
    for (std::size_t more = below(5); more > 0; --more)
      values.push_back(read(candidates[below(candidates.size())]));  // with repetitions
    return values;
  }

  /// A few of them, so that some nodes draw alike and merge.
  std::int64_t site() { return static_cast<std::int64_t>(below(3)); }

  /// A layer of its own, or one that others of this kind and size share.
  std::string name(const std::string& kind) {
    return below(3) == 0 ? kind + ".shared" : kind + std::to_string(++layers_);
  }

  ValueId draw_node() {
    constexpr std::size_t darts_kinds = 11;
    constexpr std::size_t all_kinds = 21;
    switch (below(kinds_ == Kinds::all ? all_kinds : darts_kinds)) {
      case 0:
        return nodes::relu(graph(), pick());
      case 1:
        return draw_depthwise();
      case 2:
        return draw_pointwise();
      case 3:
        return draw_conv();
      case 4:
      case 5:
        return draw_batch_norm();
      case 6:
        return nodes::max_pool(graph(), pick(), {.kernel = 3, .stride = 1 + static_cast<int>(below(2)), .padding = 1});
      case 7:
        return nodes::avg_pool(graph(), pick(), {.kernel = 3, .stride = 1 + static_cast<int>(below(2)), .padding = 1});
      case 8:
        return draw_weighted_sum();
      case 9:
        return nodes::add(graph(), pick_several([](const Shape& a, const Shape& b) { return a == b; }));
      case 10:
        return draw_concat();
      case 11:
        return nodes::zeros(graph(), graph().shape(result_.body[below(result_.body.size())]));
      case 12:
      case 13:
        return draw_slice();
      case 14:
        return draw_shuffle();
      case 15:
        return nodes::dropout(graph(), pick(), rate_, keys_, site());
      case 16:
        return nodes::drop_path(graph(), pick(), rate_, keys_, site());
      case 17:
        return nodes::gaussian_noise(graph(), pick(), 0.5F, keys_, site());
      case 18:
        return nodes::relu6(graph(), pick());
      case 19: {
        const ValueId x = pick();
        return nodes::bias(graph(), x, name("bias" + std::to_string(graph().shape(x)[-1])));
      }
      default:
        return nodes::normal_noise(graph(), graph().type(result_.body[below(result_.body.size())]), keys_, site());
    }
  }

  ValueId draw_depthwise() {
    constexpr std::array<kernels::DepthwiseConv, 4> choices{{{.kernel = 3, .stride = 1, .dilation = 1, .padding = 1},
                                                             {.kernel = 3, .stride = 2, .dilation = 1, .padding = 1},
                                                             {.kernel = 3, .stride = 1, .dilation = 2, .padding = 2},
                                                             {.kernel = 5, .stride = 1, .dilation = 1, .padding = 2}}};
    const ValueId x = pick();
    const kernels::DepthwiseConv conv = choices[below(choices.size())];
    const std::string size = std::to_string(conv.kernel) + "x" + std::to_string(graph().shape(x)[-1]);
    return nodes::depthwise_conv(graph(), x, name("depthwise" + size), conv);
  }

  ValueId draw_pointwise() {
    const ValueId x = pick();
    const Shape shape = graph().shape(x);
    const int offset = shape[1] > 1 && shape[2] > 1 ? static_cast<int>(below(2)) : 0;
    const auto out = static_cast<std::int64_t>(1 + below(6));
    const int groups = kinds_ == Kinds::all && out % 2 == 0 && shape[-1] % 2 == 0 ? 2 : 1;
    const std::string size = std::to_string(shape[-1] / groups) + "x" + std::to_string(out);
    return nodes::pointwise_conv(graph(), x, name("pointwise" + size), out,
                                 {.stride = 1 + static_cast<int>(below(2)), .offset = offset, .groups = groups});
  }

  ValueId draw_conv() {
    kernels::Conv conv{};
    if (below(2) == 0) conv = {.kernel_h = 1, .padding_h = 0};
    if (below(3) == 0) conv.stride_h = conv.stride_w = 2;
    const ValueId x = pick();
    const auto out = static_cast<std::int64_t>(1 + below(4));
    const std::string size = std::to_string(conv.kernel_h) + "x" + std::to_string(graph().shape(x)[-1]) + "x";
    return nodes::conv(graph(), x, name("conv" + size + std::to_string(out)), out, conv);
  }

  ValueId draw_batch_norm() {
    const ValueId x = pick();
    const bool affine = below(2) == 0;
    return nodes::batch_norm(graph(), x, name((affine ? "bn" : "plain_bn") + std::to_string(graph().shape(x)[-1])),
                             affine);
  }

  ValueId draw_weighted_sum() {
    std::vector<nodes::Term> terms;
    for (const ValueId x : pick_several([](const Shape&a, const Shape&b) { return a == b; }))
      terms.push_back({x, static_cast<std::int32_t>(below(6))});
    return nodes::weighted_sum(graph(), terms, result_.mix);
  }

  ValueId draw_concat() {
    const auto parts = pick_several(
        [](const Shape& a, const Shape& b) { return a[1] == b[1] && a[2] == b[2] && a[3] < 20 && b[3] < 20; });
    return graph().concat(parts);
  }

  ValueId draw_slice() {
    const ValueId x = pick();
    const auto channels = static_cast<std::size_t>(graph().shape(x)[-1]);
    const std::size_t first = below(channels);
    return nodes::slice(graph(), x, static_cast<std::int64_t>(first),
                        static_cast<std::int64_t>(1 + below(channels - first)));
  }

  ValueId draw_shuffle() {
    const ValueId x = pick();
    const std::int64_t channels = graph().shape(x)[-1];
    auto groups = static_cast<std::int64_t>(1 + below(4));
    while (channels % groups != 0)
      --groups;
    return nodes::channel_shuffle(graph(), x, groups);
  }

  void finish() {
    std::vector<ValueId> logits;
    const std::set<ValueId> ends = unread_;
    for (const ValueId id : ends) {
      const std::string head = "head" + std::to_string(graph().shape(id)[-1]);
      logits.push_back(nodes::linear(graph(), nodes::global_avg_pool(graph(), id), head, classes));
    }
    const ValueId labels = graph().input("labels", {Shape{2}, DType::i64});
    result_.loss = nodes::cross_entropy(graph(), nodes::add(graph(), logits), labels, 0.1F);
    graph().output("loss", result_.loss);
    graph().output("kept", result_.body[below(result_.body.size())]);
  }

  std::mt19937_64 random_;
  Kinds kinds_;
  ValueId rate_ = no_value;
  ValueId keys_ = no_value;
  RandomGraph result_;
  std::set<ValueId> unread_;
  int layers_ = 0;
};

inline RandomGraph random_graph(std::uint64_t seed, Mode mode = Mode::train, int nodes = 14,
                                Kinds kinds = Kinds::darts) {
  return RandomGraphBuilder(seed, mode, kinds).build(nodes);
}

}  // namespace dnas::engine::test_graphs
