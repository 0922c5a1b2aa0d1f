#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/copy.hpp"

#include <array>

namespace dnas::engine::nodes {

ValueId add(Graph& graph, std::span<const ValueId> terms) {
  if (terms.empty()) throw ShapeError("add: no terms");
  if (terms.size() == 1) return terms.front();
  ValueId sum = no_value;
  for (const ValueId term : terms) {
    sum = graph.add1(std::make_shared<CopyOp>(), std::array{term, sum});
  }
  return sum;
}

}  // namespace dnas::engine::nodes
