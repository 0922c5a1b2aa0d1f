#include "core/mixed_operations.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dnas::search {

namespace nodes = engine::nodes;
using engine::no_value;
using engine::ValueId;

/// One edge of a node, while it is appended.
struct MixedOperations::Edge {
  std::size_t group;
  std::size_t index;  ///< within the group
  const ChoiceEdge& choice;
  ValueId x;
  int stride;
  ValueId passing;  ///< the channels of x that its candidates see
  std::vector<nodes::Term> terms;
  std::vector<nodes::Term> bypass;
};

MixedOperations::MixedOperations(engine::Graph& graph, const std::vector<ChoiceGroup>& groups,
                                 const SupernetOptions& options)
    : graph_(graph),
      groups_(groups),
      options_(options),
      divisor_(channel_divisor(options.transforms)),
      extra_columns_(search::extra_columns(options.transforms)),
      separate_edges_(std::ranges::any_of(options.transforms, [](const auto& t) { return t->wraps_edge(); })),
      random_(graph) {
  for (const ChoiceGroup& group : groups)
    mixing_.push_back(graph.input("mix_" + group.name, Shape{group.rows(), group.columns() + extra_columns_}));
  for (std::size_t i = 0; i < options.transforms.size(); ++i) {
    // The coefficient of a term is among the mixing weights.
    const bool reads_rate = options.transforms[i]->rate(0, 1).has_value() && !options.transforms[i]->adds_term();
    rates_.push_back(reads_rate ? graph.input(fmt::format("rate_{}", i), Shape{1}) : no_value);
  }
}

bool MixedOperations::runs(std::size_t group, std::size_t entry) const {
  return options_.support == nullptr || options_.support->empty() || (*options_.support)[group][entry] != 0;
}

Transform::Inputs MixedOperations::inputs_of(std::size_t transform) {
  const bool draws = options_.transforms[transform]->draws();
  return {
      .rate = rates_[transform], .random = draws ? random_.input() : no_value, .site = draws ? random_.next_site() : 0};
}

void MixedOperations::append_candidates(Edge& edge, const Site& site) {
  const ChoiceGroup& group = groups_[edge.group];
  const auto columns = static_cast<std::size_t>(group.columns());
  const std::int64_t row = static_cast<std::int64_t>(edge.index) * (group.columns() + extra_columns_);
  for (std::size_t k = 0; k < edge.choice.candidates.size(); ++k) {
    const std::string& name = edge.choice.candidates[k];
    const CandidateSite place = {.name = fmt::format("{}._ops.{}._ops.{}", site.prefix, edge.index, k),
                                 .channels = graph_.shape(edge.passing)[-1],
                                 .out_channels = site.out_channels / divisor_,
                                 .stride = edge.stride,
                                 .affine = false,
                                 .pool_norm = site.pool_norm,
                                 .random = &random_};
    const bool running = runs(edge.group, edge.index * columns + k);
    std::optional<ValueId> y;
    if (running)
      y = make_part(candidates(), PartChoice{.name = name, .options = {}})->append(graph_, edge.passing, place);
    for (std::size_t t = 0; t < options_.transforms.size(); ++t) {
      if (!options_.transforms[t]->wraps_candidate(name)) continue;
      const Transform::Inputs inputs = inputs_of(t);
      if (y) y = options_.transforms[t]->wrap_candidate(graph_, *y, inputs);
    }
    if (y) edge.terms.push_back({*y, static_cast<std::int32_t>(row + static_cast<std::int64_t>(k))});
  }
}

void MixedOperations::append_extras(Edge& edge, const Site& site) {
  const ChoiceGroup& group = groups_[edge.group];
  auto column = static_cast<std::int32_t>(static_cast<std::int64_t>(edge.index) * (group.columns() + extra_columns_) +
                                          group.columns());
  if (divisor_ > 1) {
    const std::int64_t channels = graph_.shape(edge.x)[-1];
    ValueId rest = nodes::slice(graph_, edge.x, channels / divisor_, channels - channels / divisor_);
    if (edge.stride == 2) rest = nodes::max_pool(graph_, rest, {.kernel = 2, .stride = 2, .padding = 0});
    edge.bypass.push_back({rest, column++});
  }
  for (const auto& transform : options_.transforms) {
    if (!transform->adds_term()) continue;
    const CandidateSite place = {.name = fmt::format("{}._ops.{}.auxiliary", site.prefix, edge.index),
                                 .channels = graph_.shape(edge.passing)[-1],
                                 .stride = edge.stride,
                                 .affine = false,
                                 .pool_norm = site.pool_norm,
                                 .random = &random_};
    if (const auto y = transform->append_term(graph_, edge.passing, place)) edge.terms.push_back({*y, column});
    ++column;
  }
}

ValueId MixedOperations::wrap_edge(const Edge& edge) {
  ValueId y = edge.terms.empty() ? no_value : nodes::weighted_sum(graph_, edge.terms, mixing_[edge.group]);
  for (std::size_t t = 0; t < options_.transforms.size(); ++t) {
    if (!options_.transforms[t]->wraps_edge()) continue;
    const Transform::Inputs inputs = inputs_of(t);
    if (y != no_value) y = options_.transforms[t]->wrap_edge(graph_, y, inputs);
  }
  return y;
}

ValueId MixedOperations::append_node(std::size_t group, int node, const Site& site, std::span<const ValueId> states) {
  const std::vector<ChoiceEdge>& edges = groups_[group].edges;
  const std::int64_t out_channels = site.out_channels == 0 ? site.channels : site.out_channels;
  if (site.channels % divisor_ != 0 || out_channels % divisor_ != 0) {
    throw ConfigError(fmt::format(
        "{}: {} channels cannot be split in {} parts; use init_channels that the partial channels' k divides",
        site.prefix, site.channels % divisor_ != 0 ? site.channels : out_channels, divisor_));
  }
  std::vector<nodes::Term> terms;
  std::vector<nodes::Term> bypass;
  std::vector<ValueId> separate;
  Shape shape;
  bool something = false;
  for (std::size_t e = 0; e < edges.size(); ++e) {
    if (edges[e].to != node) continue;
    const ValueId x = states[static_cast<std::size_t>(edges[e].from)];
    Edge edge{.group = group,
              .index = e,
              .choice = edges[e],
              .x = x,
              .stride = site.stride(edges[e]),
              .passing = x,
              .terms = {},
              .bypass = {}};
    if (divisor_ > 1) edge.passing = nodes::slice(graph_, x, 0, site.channels / divisor_);
    const Shape& in = graph_.shape(x);
    shape = Shape{in[0], in[1] / edge.stride, in[2] / edge.stride, out_channels / divisor_};
    something = something || std::ranges::any_of(edges[e].candidates, [](const auto& name) { return name != "none"; });
    append_candidates(edge, site);
    append_extras(edge, site);
    if (separate_edges_) {
      if (const ValueId y = wrap_edge(edge); y != no_value) separate.push_back(y);
    } else {
      terms.insert(terms.end(), edge.terms.begin(), edge.terms.end());
    }
    bypass.insert(bypass.end(), edge.bypass.begin(), edge.bypass.end());
  }
  if (!something) {
    throw ConfigError(fmt::format("{}: state {} has no candidate but none on any of its edges", site.prefix, node));
  }
  ValueId y = no_value;
  if (!terms.empty())
    y = nodes::weighted_sum(graph_, terms, mixing_[group]);
  else if (separate.size() > 1)
    y = nodes::add(graph_, separate);
  else
    y = separate.empty() ? nodes::zeros(graph_, shape) : separate.front();
  if (bypass.empty()) return y;
  const std::array parts{y, nodes::weighted_sum(graph_, bypass, mixing_[group])};
  return nodes::channel_shuffle(graph_, graph_.concat(parts), divisor_);
}

}  // namespace dnas::search
