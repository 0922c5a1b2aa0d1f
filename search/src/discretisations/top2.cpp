#include "dnas/kernels/error.hpp"
#include "dnas/search/discretisation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace dnas::search::family::discretisations {
namespace {

constexpr std::size_t kept_edges = 2;

/// The strongest operation of an edge that is not `none`.
struct Choice {
  const ChoiceEdge* edge;
  std::size_t candidate;
  float weight;
};

// Of equal weights the first in the order of the candidates wins, as in the official scan.
Choice strongest(const ChoiceEdge& edge, const float* weights) {
  std::size_t best = edge.candidates.size();
  for (std::size_t k = 0; k < edge.candidates.size(); ++k) {
    if (edge.candidates[k] == "none") continue;
    if (best == edge.candidates.size() || weights[k] > weights[best]) best = k;
  }
  if (best == edge.candidates.size()) {
    throw ConfigError(
        fmt::format("top2: the edge from state {} to state {} has no candidate but none", edge.from, edge.to));
  }
  return {&edge, best, weights[best]};
}

/// Each node keeps the two incoming edges whose strongest operation is strongest, each with that operation.
class Top2 final : public Discretisation {
 protected:
  CellGenotype do_derive(const ChoiceGroup& group, const TensorView& mix) const override {
    const float* weights = mix.f32();
    const auto columns = static_cast<std::size_t>(group.columns());
    CellGenotype cell{.edges = {}, .concat = group.concat};
    std::size_t row = 0;
    while (row < group.edges.size()) {
      const int node = group.edges[row].to;
      std::vector<Choice> choices;
      for (; row < group.edges.size() && group.edges[row].to == node; ++row) {
        choices.push_back(strongest(group.edges[row], weights + row * columns));
      }
      // Stable: of equally strong edges the one from the earlier state comes first.
      std::stable_sort(choices.begin(), choices.end(),
                       [](const Choice& a, const Choice& b) { return a.weight > b.weight; });
      choices.resize(std::min(choices.size(), kept_edges), choices.front());
      for (const Choice& choice : choices) {
        cell.edges.push_back({choice.edge->candidates[choice.candidate], choice.edge->from, node});
      }
    }
    return cell;
  }
};

}  // namespace

void register_top2(Registry<Component<Discretisation>>& registry) {
  registry.add({.name = "top2",
                .help = "each node keeps its two strongest edges, each edge its strongest operation but none",
                .source = "Liu et al. 2019, arXiv:1806.09055, section 2.4",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Top2>(); }});
}

}  // namespace dnas::search::family::discretisations
