#include "nodes/concat.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::engine {

namespace {

/// Some channels of a tensor, without a copy.
class SliceOp final : public Op {
 public:
  SliceOp(std::int64_t offset, std::int64_t channels) : offset_(offset), channels_(channels) {}

  [[nodiscard]] std::string_view kind() const override { return "slice"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const Shape& s = in[0].shape;
    return {TensorType({s[0], s[1], s[2], channels_}, in[0].dtype)};
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, true, offset_};
  }
  void run(const Context& /*ctx*/, const OpArguments& /*args*/) const override {}

 private:
  std::int64_t offset_;
  std::int64_t channels_;
};

}  // namespace

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
      const ValueId slice =
          backward.graph().add1(std::make_shared<SliceOp>(offset, channels), std::array{backward.gradient(0)});
      backward.add(i, slice);
    }
    offset += channels;
  }
}

}  // namespace dnas::engine
