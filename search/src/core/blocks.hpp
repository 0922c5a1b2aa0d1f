#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/search/candidate.hpp"

#include <cstdint>
#include <string>

/// The layers that cells are made of. Parameters are named as in the official DARTS state_dict.
/// Source of all definitions: Liu et al. 2019, arXiv:1806.09055, and the code released with it.
namespace dnas::search {

/// ReLU, 1x1 convolution, batch norm.
[[nodiscard]] engine::ValueId relu_conv_bn(engine::Graph& graph, engine::ValueId x, const std::string& name,
                                           std::int64_t out_channels, bool affine);

/// Halves the extents: ReLU, then two 1x1 convolutions of stride 2, the second shifted by one pixel in both directions,
/// each giving half of the channels; batch norm over both.
/// @throws ShapeError if out_channels, the height or the width is odd: the two halves would differ in size
[[nodiscard]] engine::ValueId factorized_reduce(engine::Graph& graph, engine::ValueId x, const std::string& name,
                                                std::int64_t out_channels, bool affine);

/// Twice: ReLU, depthwise convolution, 1x1 convolution, batch norm. The stride is in the first half.
[[nodiscard]] engine::ValueId sep_conv(engine::Graph& graph, engine::ValueId x, const CandidateSite& site, int kernel);

/// ReLU, depthwise convolution of dilation 2, 1x1 convolution, batch norm.
[[nodiscard]] engine::ValueId dil_conv(engine::Graph& graph, engine::ValueId x, const CandidateSite& site, int kernel);

/// The batch norm that follows a pooling candidate in a supernet; elsewhere `pooled` itself.
[[nodiscard]] engine::ValueId pool_norm(engine::Graph& graph, engine::ValueId pooled, const CandidateSite& site);

}  // namespace dnas::search
