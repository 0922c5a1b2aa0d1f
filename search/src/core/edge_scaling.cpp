#include "core/edge_scaling.hpp"

#include <map>

namespace dnas::search {

std::vector<std::vector<std::size_t>> edges_by_node(const ChoiceGroup& group) {
  std::map<int, std::vector<std::size_t>> rows;
  for (std::size_t e = 0; e < group.edges.size(); ++e)
    rows[group.edges[e].to].push_back(e);
  std::vector<std::vector<std::size_t>> result;
  result.reserve(rows.size());
  for (auto& [node, edges] : rows)
    result.push_back(std::move(edges));
  return result;
}

void scale_edges(std::span<const double> factors, const TensorView& weights, const TensorView& mix) {
  const std::int64_t columns = weights.shape[1];
  for (std::int64_t i = 0; i < weights.elements(); ++i)
    mix.f32()[i] = static_cast<float>(factors[static_cast<std::size_t>(i / columns)] * weights.f32()[i]);
}

std::vector<double> factor_gradient(const TensorView& weights, const TensorView& dmix) {
  const std::int64_t columns = weights.shape[1];
  std::vector<double> gradient(static_cast<std::size_t>(weights.shape[0]), 0.0);
  for (std::int64_t i = 0; i < weights.elements(); ++i)
    gradient[static_cast<std::size_t>(i / columns)] += static_cast<double>(weights.f32()[i]) * dmix.f32()[i];
  return gradient;
}

}  // namespace dnas::search
