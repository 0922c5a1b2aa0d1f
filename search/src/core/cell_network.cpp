#include "core/cell_network.hpp"

#include "core/blocks.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/search/candidate.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dnas::search {
namespace {

namespace nodes = engine::nodes;
using engine::Graph;
using engine::no_value;
using engine::ValueId;

constexpr std::int64_t stem_multiplier = 3;

/// A cell that is about to be filled: its place and its two preprocessed inputs.
struct CellFrame {
  std::string name;  ///< "cells.4"
  bool reduction = false;
  std::int64_t channels = 0;  ///< of each node
  ValueId inputs[2] = {no_value, no_value};

  [[nodiscard]] int stride_from(int state) const { return reduction && state < 2 ? 2 : 1; }
};

/// Appends the nodes of a cell and returns its output.
using FillCell = std::function<ValueId(const CellFrame&)>;

ValueId stem(Graph& graph, ValueId images, std::int64_t channels) {
  const ValueId y = nodes::conv(graph, images, "stem.0", channels, {});
  return nodes::batch_norm(graph, y, "stem.1", true);
}

/// The classifier on the output of the cell at 2/3 of the depth, used in training only.
ValueId auxiliary_head(Graph& graph, ValueId x, int cell, int classes) {
  const Shape& shape = graph.shape(x);
  if (shape[1] != 8 || shape[2] != 8) {
    throw ConfigError(fmt::format(
        "auxiliary: the classifier reads 8 x 8 maps, but cell {} gives {} x {}; leave it out, or use 32 x 32 "
        "images and at least 3 layers",
        cell, shape[1], shape[2]));
  }
  const std::string features = "auxiliary_head.features.";
  x = nodes::relu(graph, x);
  x = nodes::avg_pool(graph, x, {.kernel = 5, .stride = 3, .padding = 0});
  x = nodes::pointwise_conv(graph, x, features + "2", 128);
  x = nodes::batch_norm(graph, x, features + "3", true);
  x = nodes::relu(graph, x);
  x = nodes::conv(graph, x, features + "5", 768, {.kernel_h = 2, .kernel_w = 2, .padding_h = 0, .padding_w = 0});
  x = nodes::batch_norm(graph, x, features + "6", true);
  x = nodes::relu(graph, x);
  x = nodes::global_avg_pool(graph, x);  // of 1 x 1 maps: drops the two axes
  return nodes::linear(graph, x, "auxiliary_head.classifier", classes);
}

void check_halving(int cell, const Shape& shape) {
  if (shape[1] % 2 == 0 && shape[2] % 2 == 0) return;
  throw ShapeError(
      fmt::format("cell {} halves the height and width of its input, which is {} x {}; both must be even: use images "
                  "whose height and width are multiples of 4",
                  cell, shape[1], shape[2]));
}

/// Everything but the inside of the cells. `affine`: of the batch norms in the preprocessing of a cell's inputs.
NetworkValues append_skeleton(Graph& graph, const NetworkConfig& config, bool affine, bool auxiliary,
                              const FillCell& fill) {
  NetworkValues values;
  const Shape& image = config.image;
  values.images = graph.input("images", Shape{config.batch, image[0], image[1], image[2]});

  const int first_reduction = config.layers / 3;
  const int second_reduction = 2 * config.layers / 3;
  std::int64_t channels = config.init_channels;
  bool reduction_before = false;
  ValueId auxiliary_input = no_value;
  ValueId s0 = stem(graph, values.images, stem_multiplier * channels);
  ValueId s1 = s0;
  for (int k = 0; k < config.layers; ++k) {
    CellFrame cell;
    cell.name = fmt::format("cells.{}", k);
    cell.reduction = k == first_reduction || k == second_reduction;
    if (cell.reduction) {
      check_halving(k, graph.shape(s1));
      channels *= 2;
    }
    cell.channels = channels;
    const std::string preprocess0 = cell.name + ".preprocess0";
    // After a reduction the older input is still twice as large.
    cell.inputs[0] = reduction_before ? factorized_reduce(graph, s0, preprocess0, channels, affine)
                                      : relu_conv_bn(graph, s0, preprocess0, channels, affine);
    cell.inputs[1] = relu_conv_bn(graph, s1, cell.name + ".preprocess1", channels, affine);
    s0 = s1;
    s1 = fill(cell);
    reduction_before = cell.reduction;
    if (k == second_reduction) auxiliary_input = s1;
  }

  if (auxiliary) values.auxiliary_logits = auxiliary_head(graph, auxiliary_input, second_reduction, config.classes);
  values.logits = nodes::linear(graph, nodes::global_avg_pool(graph, s1), "classifier", config.classes);
  return values;
}

std::unique_ptr<Candidate> make_candidate(const std::string& name) {
  return make_part(candidates(), PartChoice{.name = name, .options = {}});
}

ValueId fill_supernet_cell(Graph& graph, const CellFrame& cell, const std::vector<ChoiceGroup>& groups,
                           MixedOperations& mixed) {
  const std::size_t g = cell.reduction ? 1 : 0;
  std::vector<ValueId> states = {cell.inputs[0], cell.inputs[1]};
  const MixedOperations::Site site = {.prefix = cell.name,
                                      .channels = cell.channels,
                                      .stride = [&](const ChoiceEdge& edge) { return cell.stride_from(edge.from); }};
  for (int node = 2; node <= groups[g].edges.back().to; ++node)
    states.push_back(mixed.append_node(g, node, site, states));
  std::vector<ValueId> output;
  for (const int state : groups[g].concat)
    output.push_back(states[static_cast<std::size_t>(state)]);
  return graph.concat(output);
}

ValueId fill_derived_cell(Graph& graph, const CellFrame& cell, const CellGenotype& genotype, RandomSource& random) {
  // By state number; a node without edges, which some methods leave, has no value and no reader (pruned()).
  std::vector<ValueId> states = {cell.inputs[0], cell.inputs[1]};
  std::size_t e = 0;
  while (e < genotype.edges.size()) {
    const int node = genotype.edges[e].to;
    std::vector<ValueId> terms;
    for (; e < genotype.edges.size() && genotype.edges[e].to == node; ++e) {
      const GenotypeEdge& edge = genotype.edges[e];
      const CandidateSite site = {.name = fmt::format("{}._ops.{}", cell.name, e),
                                  .channels = cell.channels,
                                  .stride = cell.stride_from(edge.from),
                                  .affine = true,
                                  .pool_norm = false,
                                  .random = &random};
      const ValueId x = states[static_cast<std::size_t>(edge.from)];
      if (const auto y = make_candidate(edge.op)->append(graph, x, site)) terms.push_back(*y);
    }
    if (terms.empty()) {
      throw ConfigError(
          fmt::format("{}: state {} has no operation but none; its value would be zero", cell.name, node));
    }
    states.resize(static_cast<std::size_t>(node), no_value);
    states.push_back(terms.size() == 1 ? terms.front() : nodes::add(graph, terms));
  }
  std::vector<ValueId> output;
  for (const int state : genotype.concat)
    output.push_back(states[static_cast<std::size_t>(state)]);
  return graph.concat(output);
}

}  // namespace

NetworkValues append_cell_supernet(Graph& graph, const NetworkConfig& config, const std::vector<ChoiceGroup>& groups,
                                   MixedOperations& mixed) {
  return append_skeleton(graph, config, false, false,
                         [&](const CellFrame& cell) { return fill_supernet_cell(graph, cell, groups, mixed); });
}

NetworkValues append_cell_network(Graph& graph, const NetworkConfig& config, const CellGenotype& normal,
                                  const CellGenotype& reduce) {
  RandomSource random(graph);
  const CellGenotype cells[2] = {pruned(normal), pruned(reduce)};
  return append_skeleton(graph, config, true, config.auxiliary, [&](const CellFrame& cell) {
    return fill_derived_cell(graph, cell, cells[cell.reduction ? 1 : 0], random);
  });
}

}  // namespace dnas::search
