#pragma once

#include "dnas/engine/nodes.hpp"
#include "engine/random_graph.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Supernet cells built of plain nodes, as a search space builds them: what the fusion pass is for.
namespace dnas::engine::test_graphs {

struct CellSize {
  std::int64_t batch = 4;
  std::int64_t extent = 6;
  std::int64_t channels = 4;
};

/// The candidates of DARTS but none, and what is no candidate of DARTS.
inline constexpr std::array darts_candidates{"max_pool",  "avg_pool",  "skip",     "sep_conv3",
                                             "sep_conv5", "dil_conv3", "dil_conv5"};
inline constexpr std::array odd_candidates{"conv", "bare_relu", "affine_dil_conv", "sep_conv9", "strided_pointwise"};

/// Appends a candidate of this name at a site; batch norms without affine part, unless it says so.
inline ValueId append_candidate(Graph& g, std::string_view candidate, ValueId x, const std::string& name, int stride) {
  const std::int64_t channels = g.shape(x)[-1];
  const auto separable = [&](ValueId from, const std::string& layer, kernels::DepthwiseConv conv, bool affine) {
    ValueId y = nodes::depthwise_conv(g, nodes::relu(g, from), layer + ".dw", conv);
    y = nodes::pointwise_conv(g, y, layer + ".pw", channels);
    return nodes::batch_norm(g, y, layer + ".bn", affine);
  };
  const auto sep_conv = [&](int kernel) {
    const ValueId y = separable(x, name + ".1", {.kernel = kernel, .stride = stride, .padding = kernel / 2}, false);
    return separable(y, name + ".2", {.kernel = kernel, .stride = 1, .padding = kernel / 2}, false);
  };
  const auto dil_conv = [&](int kernel, bool affine) {
    return separable(x, name, {.kernel = kernel, .stride = stride, .dilation = 2, .padding = kernel - 1}, affine);
  };
  const kernels::Pool pool{.kernel = 3, .stride = stride, .padding = 1};
  if (candidate == "max_pool") return nodes::batch_norm(g, nodes::max_pool(g, x, pool), name + ".bn", false);
  if (candidate == "avg_pool") return nodes::batch_norm(g, nodes::avg_pool(g, x, pool), name + ".bn", false);
  if (candidate == "sep_conv3") return sep_conv(3);
  if (candidate == "sep_conv5") return sep_conv(5);
  if (candidate == "sep_conv9") return sep_conv(9);  // larger than a bundle takes
  if (candidate == "dil_conv3") return dil_conv(3, false);
  if (candidate == "dil_conv5") return dil_conv(5, false);
  if (candidate == "affine_dil_conv") return dil_conv(3, true);
  const ValueId z = nodes::relu(g, x);
  if (candidate == "conv") {
    const ValueId y = nodes::conv(g, z, name + ".conv", channels, {.stride_h = stride, .stride_w = stride});
    return nodes::batch_norm(g, y, name + ".bn", false);
  }
  if (candidate == "strided_pointwise") {
    const ValueId d = nodes::depthwise_conv(g, z, name + ".dw", {});
    const ValueId y = nodes::pointwise_conv(g, d, name + ".pw", channels, {.stride = stride, .offset = 0});
    return nodes::batch_norm(g, y, name + ".bn", false);
  }
  if (candidate == "bare_relu" && stride == 1) return z;
  if (candidate == "skip" && stride == 1) return x;
  // A factorised reduction.
  const std::array halves{
      nodes::pointwise_conv(g, z, name + ".pw1", channels / 2, {.stride = stride, .offset = 0}),
      nodes::pointwise_conv(g, z, name + ".pw2", channels - channels / 2, {.stride = stride, .offset = stride - 1})};
  return nodes::batch_norm(g, g.concat(halves), name + ".bn", false);
}

struct CellEdge {
  int from = 0;  ///< state: 0 and 1 are the inputs, the nodes follow
  int to = 2;
  std::vector<std::string> candidates;
};

/// A cell between a stem with preprocessing and a classifier: inputs "x", "mix" [edges, candidates] and "labels",
/// outputs "loss" and "logits". Edges by node.
inline RandomGraph cell_network(std::span<const CellEdge> edges, int stride, CellSize size = {},
                                Mode mode = Mode::train) {
  RandomGraph net;
  net.graph = std::make_shared<Graph>(mode, NetworkTables{});
  Graph& g = *net.graph;
  std::size_t columns = 1;
  for (const CellEdge& edge : edges)
    columns = std::max(columns, edge.candidates.size());
  net.x = g.input("x", Shape{size.batch, size.extent, size.extent, 3});
  net.mix = g.input("mix", Shape{static_cast<std::int64_t>(edges.size()), static_cast<std::int64_t>(columns)});
  const ValueId stem = nodes::batch_norm(g, nodes::conv(g, net.x, "stem.conv", size.channels, {}), "stem.bn", true);
  const auto preprocessed = [&](const std::string& name) {
    const ValueId y = nodes::pointwise_conv(g, nodes::relu(g, stem), name + ".pw", size.channels);
    return nodes::batch_norm(g, y, name + ".bn", false);
  };
  std::vector<ValueId> states{preprocessed("pre0"), preprocessed("pre1")};
  for (std::size_t e = 0; e < edges.size();) {
    std::vector<nodes::Term> terms;
    const int node = edges[e].to;
    for (; e < edges.size() && edges[e].to == node; ++e) {
      for (std::size_t k = 0; k < edges[e].candidates.size(); ++k) {
        const std::string name = "edge" + std::to_string(e) + "." + std::to_string(k);
        const ValueId y = append_candidate(g, edges[e].candidates[k], states[static_cast<std::size_t>(edges[e].from)],
                                           name, edges[e].from < 2 ? stride : 1);
        terms.push_back({y, static_cast<std::int32_t>(e * columns + k)});
      }
    }
    states.push_back(nodes::weighted_sum(g, terms, net.mix));
  }
  net.body = states;
  const ValueId cell = g.concat(std::span(states).subspan(2));
  // With a stride pixels meet different weights: the gradient of the cell is not the same everywhere.
  const ValueId spread = nodes::depthwise_conv(g, cell, "spread", {.kernel = 3, .stride = 2});
  const ValueId logits = nodes::linear(g, nodes::global_avg_pool(g, spread), "head", classes);
  net.loss = nodes::cross_entropy(g, logits, g.input("labels", {Shape{size.batch}, DType::i64}), 0.1F);
  g.output("loss", net.loss);
  g.output("logits", logits);
  return net;
}

/// The edges of a cell of `nodes` nodes, all with these candidates.
inline std::vector<CellEdge> dense_edges(int nodes, std::span<const char* const> candidates) {
  std::vector<CellEdge> edges;
  for (int to = 2; to < nodes + 2; ++to) {
    for (int from = 0; from < to; ++from)
      edges.push_back({from, to, {candidates.begin(), candidates.end()}});
  }
  return edges;
}

/// One to three nodes, the first with an edge from each input, the others with one or two; one to six candidates of all
/// kinds on an edge.
inline std::vector<CellEdge> random_edges(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  std::vector<CellEdge> edges;
  const int last = 3 + static_cast<int>(below(3));
  for (int to = 2; to < last; ++to) {
    const std::size_t count = to == 2 ? 2 : 1 + below(2);
    for (std::size_t e = 0; e < count; ++e) {
      const std::size_t from = to == 2 ? e : below(static_cast<std::size_t>(to));
      CellEdge edge{static_cast<int>(from), to, {}};
      for (std::size_t k = 1 + below(6); k > 0; --k) {
        edge.candidates.emplace_back(below(4) == 0 ? odd_candidates[below(odd_candidates.size())]
                                                   : darts_candidates[below(darts_candidates.size())]);
      }
      edges.push_back(std::move(edge));
    }
  }
  return edges;
}

}  // namespace dnas::engine::test_graphs
