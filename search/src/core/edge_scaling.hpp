#pragma once

#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/space.hpp"

#include <span>
#include <vector>

/// What edge weightings share that multiply each edge by a factor of its own.
namespace dnas::search {

/// The rows of the edges that enter each node: a softmax or a sum to 1 is over one of these.
[[nodiscard]] std::vector<std::vector<std::size_t>> edges_by_node(const ChoiceGroup& group);

/// mix[e, :] = factors[e] * weights[e, :]. mix may be weights.
void scale_edges(std::span<const double> factors, const TensorView& weights, const TensorView& mix);

/// The gradient of the factors: sum over the columns of weights * dmix, one an edge.
[[nodiscard]] std::vector<double> factor_gradient(const TensorView& weights, const TensorView& dmix);

}  // namespace dnas::search
