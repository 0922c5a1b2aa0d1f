#include "core/blocks.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::search {

namespace nodes = engine::nodes;
using engine::Graph;
using engine::ValueId;

ValueId relu_conv_bn(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels, bool affine) {
  const ValueId y = nodes::pointwise_conv(graph, nodes::relu(graph, x), name + ".op.1", out_channels);
  return nodes::batch_norm(graph, y, name + ".op.2", affine);
}

ValueId factorized_reduce(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels, bool affine) {
  const std::int64_t height = graph.shape(x)[1];
  const std::int64_t width = graph.shape(x)[2];
  if (height % 2 != 0 || width % 2 != 0) {
    throw ShapeError(fmt::format("{}: input is {} x {}, expected even height and width to halve", name, height, width));
  }
  if (out_channels % 2 != 0) {
    throw ShapeError(fmt::format("{}: {} output channels, expected an even number (two halves)", name, out_channels));
  }
  const ValueId active = nodes::relu(graph, x);
  const std::array<ValueId, 2> halves = {
      nodes::pointwise_conv(graph, active, name + ".conv_1", out_channels / 2, {.stride = 2, .offset = 0}),
      nodes::pointwise_conv(graph, active, name + ".conv_2", out_channels / 2, {.stride = 2, .offset = 1})};
  return nodes::batch_norm(graph, graph.concat(halves), name + ".bn", affine);
}

ValueId sep_conv(Graph& graph, ValueId x, const CandidateSite& site, int kernel) {
  const std::string op = site.name + ".op.";
  const int padding = kernel / 2;
  x = nodes::relu(graph, x);
  x = nodes::depthwise_conv(graph, x, op + "1", {.kernel = kernel, .stride = site.stride, .padding = padding});
  x = nodes::pointwise_conv(graph, x, op + "2", site.channels);
  x = nodes::batch_norm(graph, x, op + "3", site.affine);
  x = nodes::relu(graph, x);
  x = nodes::depthwise_conv(graph, x, op + "5", {.kernel = kernel, .stride = 1, .padding = padding});
  x = nodes::pointwise_conv(graph, x, op + "6", site.channels);
  return nodes::batch_norm(graph, x, op + "7", site.affine);
}

ValueId dil_conv(Graph& graph, ValueId x, const CandidateSite& site, int kernel) {
  const std::string op = site.name + ".op.";
  x = nodes::relu(graph, x);
  x = nodes::depthwise_conv(graph, x, op + "1",
                            {.kernel = kernel, .stride = site.stride, .dilation = 2, .padding = kernel - 1});
  x = nodes::pointwise_conv(graph, x, op + "2", site.channels);
  return nodes::batch_norm(graph, x, op + "3", site.affine);
}

ValueId pool_norm(Graph& graph, ValueId pooled, const CandidateSite& site) {
  return site.pool_norm ? nodes::batch_norm(graph, pooled, site.name + ".1", site.affine) : pooled;
}

}  // namespace dnas::search
