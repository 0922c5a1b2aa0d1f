#include "nodes/concat.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/slice.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

std::vector<TensorType> ConcatOp::infer(std::span<const TensorType> in) const {
  if (in.empty()) throw ShapeError("concat: no inputs");
  const Shape& first = in[0].shape;
  std::int64_t channels = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Shape& s = in[i].shape;
    if (s.rank() != 4 || s[0] != first[0] || s[1] != first[1] || s[2] != first[2] || in[i].dtype != in[0].dtype) {
      throw ShapeError(fmt::format("concat: input {} is {}, expected [{}, {}, {}, *] like input 0", i, s.to_string(),
                                   first[0], first[1], first[2]));
    }
    channels += s[-1];
  }
  return {TensorType({first[0], first[1], first[2], channels}, in[0].dtype)};
}

void ConcatOp::run(const Context& /*ctx*/, const OpArguments& /*args*/) const {}

void ConcatOp::backward(Backward& backward) const {
  // The gradient of a part is its slice of the whole gradient. That memory is free to be added to: the slices do not
  // overlap and nobody else reads the whole any more.
  std::int64_t offset = 0;
  for (int i = 0; i < backward.inputs(); ++i) {
    const std::int64_t channels = backward.graph().shape(backward.input(i))[-1];
    if (backward.wanted(i)) {
      const ValueId slice = backward.graph().add1(std::make_shared<SliceOp>(offset, channels, Merging::never),
                                                  std::array{backward.gradient(0)});
      backward.add(i, slice);
    }
    offset += channels;
  }
}

}  // namespace dnas::engine
