#include "core/edge_scaling.hpp"
#include "core/relaxation_rows.hpp"

#include "dnas/search/edge_weighting.hpp"

#include <vector>

namespace dnas::search::family::edge_weightings {
namespace {

/// mix = b * weights with b = softmax(beta) over the edges that enter a node; one beta an edge, trained with alpha.
/// An edge whose candidates have all been taken away keeps its share.
class EdgeSoftmax final : public EdgeWeighting {
 protected:
  std::int64_t do_parameters(const ChoiceGroup& group) const override { return group.rows(); }

  void do_forward(const Context& /*ctx*/, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
                  const TensorView& mix) const override {
    scale_edges(shares(group, beta), weights, mix);
  }

  void do_backward(const Context& /*ctx*/, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
                   const TensorView& dmix, const TensorView& dweights, const TensorView& dbeta) const override {
    const std::vector<double> b = shares(group, beta);
    const std::vector<double> db = factor_gradient(weights, dmix);
    for (const auto& edges : edges_by_node(group)) {
      double mean = 0.0;
      for (const std::size_t e : edges)
        mean += b[e] * db[e];
      for (const std::size_t e : edges)
        dbeta.f32()[e] = static_cast<float>(b[e] * (db[e] - mean));
    }
    scale_edges(b, dmix, dweights);  // last: dweights may be dmix
  }

 private:
  static std::vector<double> shares(const ChoiceGroup& group, const TensorView& beta) {
    std::vector<double> result(group.edges.size());
    for (const auto& edges : edges_by_node(group)) {
      std::vector<double> node;
      for (const std::size_t e : edges)
        node.push_back(beta.f32()[e]);
      softmax_row(node);
      for (std::size_t i = 0; i < edges.size(); ++i)
        result[edges[i]] = node[i];
    }
    return result;
  }
};

}  // namespace

void register_edge_softmax(Registry<Component<EdgeWeighting>>& registry) {
  registry.add({.name = "edge_softmax",
                .help = "softmax over the edges of a node, with one trained number an edge",
                .source = "Xu et al. 2020 (PC-DARTS), arXiv:1907.05737",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<EdgeSoftmax>(); }});
}

}  // namespace dnas::search::family::edge_weightings
