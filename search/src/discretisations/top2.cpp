#include "dnas/kernels/error.hpp"
#include "dnas/search/discretisation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace dnas::search::family::discretisations {
namespace {

constexpr std::size_t kept_edges = 2;
constexpr std::string_view skip = "skip_connect";

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

/// Each node keeps the two incoming edges whose strongest operation is strongest, each with that operation. With a
/// limit of skip connections, all but the strongest of those in the normal cell lose their weight, and the cell is
/// derived again, until it holds.
class Top2 final : public Discretisation {
 public:
  explicit Top2(std::int64_t max_skips) : max_skips_(static_cast<std::size_t>(max_skips)) {}

 protected:
  CellGenotype do_derive(const ChoiceGroup& group, const TensorView& mix) const override {
    std::vector<float> weights(mix.f32(), mix.f32() + mix.elements());
    CellGenotype cell = derive_once(group, weights.data());
    if (max_skips_ == 0 || group.name != "normal") return cell;
    while (drop_skips(group, cell, weights))
      cell = derive_once(group, weights.data());
    return cell;
  }

 private:
  /// The weight of a skip connection that the cell has.
  static float& skip_weight(const ChoiceGroup& group, const GenotypeEdge& edge, std::vector<float>& weights) {
    for (std::size_t row = 0; row < group.edges.size(); ++row) {
      const ChoiceEdge& choice = group.edges[row];
      if (choice.from != edge.from || choice.to != edge.to) continue;
      const auto k = std::ranges::find(choice.candidates, skip) - choice.candidates.begin();
      return weights[row * static_cast<std::size_t>(group.columns()) + static_cast<std::size_t>(k)];
    }
    throw ConfigError("top2: a skip connection on no edge of the cell");
  }

  /// Whether there were too many; all but the strongest then weigh nothing.
  bool drop_skips(const ChoiceGroup& group, const CellGenotype& cell, std::vector<float>& weights) const {
    std::vector<float*> skips;
    for (const GenotypeEdge& edge : cell.edges) {
      if (edge.op == skip) skips.push_back(&skip_weight(group, edge, weights));
    }
    std::ranges::stable_sort(skips, [](const float* a, const float* b) { return *a > *b; });
    bool dropped = false;
    for (std::size_t i = max_skips_; i < skips.size(); ++i) {
      dropped = dropped || *skips[i] > 0.0F;  // what has no weight and still is chosen has no rival
      *skips[i] = 0.0F;
    }
    return dropped;
  }

  static CellGenotype derive_once(const ChoiceGroup& group, const float* weights) {
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

  std::size_t max_skips_;
};

}  // namespace

void register_top2(Registry<Component<Discretisation>>& registry) {
  registry.add({.name = "top2",
                .help = "each node keeps its two strongest edges, each edge its strongest operation but none",
                .source = "Liu et al. 2019, arXiv:1806.09055, section 2.4; max_skips (0: no limit) of the normal cell: "
                          "Chen et al. 2019 (P-DARTS), arXiv:1904.12760",
                .defaults = {{"max_skips", std::int64_t{0}}},
                .make = [](const Options& options) -> std::unique_ptr<Discretisation> {
                  const std::int64_t skips = options.integer("max_skips");
                  if (skips < 0) throw ConfigError(fmt::format("top2: max_skips is {}, expected 0 or more", skips));
                  return std::make_unique<Top2>(skips);
                }});
}

}  // namespace dnas::search::family::discretisations
