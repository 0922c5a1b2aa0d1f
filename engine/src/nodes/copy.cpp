#include "nodes/copy.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/elementwise.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

namespace dnas::engine {

std::vector<TensorType> CopyOp::infer(std::span<const TensorType> in) const {
  if (in[1].present && in[1] != in[0]) {
    throw ShapeError(fmt::format("copy: a {} {} is added to a {} {}, expected equal types", to_string(in[0].dtype),
                                 in[0].shape.to_string(), to_string(in[1].dtype), in[1].shape.to_string()));
  }
  return {in[0]};
}

Sharing CopyOp::sharing(int /*index*/, std::span<const TensorType> in) const {
  return share_partial(in, 1);
}

void CopyOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::copy(ctx, args.in[0], args.out[0], write_mode(args.in[1]));
}

void CopyOp::backward(Backward& backward) const {
  for (int i = 0; i < backward.inputs(); ++i) {
    if (backward.wanted(i)) backward.contribute(i, std::make_shared<CopyOp>(), {backward.gradient(0)});
  }
}

}  // namespace dnas::engine
