#include "dnas/search/cost.hpp"

#include <vector>

namespace dnas::search {

NetworkCost cost_of(const engine::Graph& graph) {
  NetworkCost cost{.parameters = graph.tables().parameters->count(), .multiply_adds = 0};
  std::vector<engine::TensorType> types;
  for (const engine::Node& node : graph.nodes()) {
    types.clear();
    for (const engine::ValueId input : node.inputs) {
      types.push_back(input == engine::no_value ? engine::TensorType() : graph.type(input));
    }
    cost.multiply_adds += node.op->multiply_adds(types);
  }
  return cost;
}

}  // namespace dnas::search
