#include "nodes/zeros.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/elementwise.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::engine {

std::string ZerosOp::key() const {
  return merging_ == Merging::never ? std::string() : fmt::format("zeros {}", type_.shape.to_string());
}

std::vector<TensorType> ZerosOp::infer(std::span<const TensorType> /*in*/) const {
  if (!type_.present) throw ShapeError("zeros: the type is that of an absent value, expected a shape");
  if (type_.dtype != DType::f32) {
    throw DtypeError(fmt::format("zeros: the type is {}, expected f32", to_string(type_.dtype)));
  }
  return {type_};
}

void ZerosOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::fill(ctx, 0.0F, args.out[0]);
}

ValueId nodes::zeros(Graph& graph, const TensorType& type) {
  return graph.add1(std::make_shared<ZerosOp>(type, Merging::equal), {});
}

}  // namespace dnas::engine
