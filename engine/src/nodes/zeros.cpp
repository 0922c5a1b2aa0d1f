#include "nodes/zeros.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/elementwise.hpp"

#include "nodes/check.hpp"

#include <fmt/format.h>

namespace dnas::engine {

std::string ZerosOp::key() const {
  return merging_ == Merging::never ? std::string() : fmt::format("zeros {}", type_.shape.to_string());
}

std::vector<TensorType> ZerosOp::infer(std::span<const TensorType> /*in*/) const {
  check::made("zeros", type_);
  return {type_};
}

void ZerosOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::fill(ctx, 0.0F, args.out[0]);
}

ValueId nodes::zeros(Graph& graph, const TensorType& type) {
  return graph.add1(std::make_shared<ZerosOp>(type, Merging::equal), {});
}

}  // namespace dnas::engine
