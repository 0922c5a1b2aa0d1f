#include "nodes/depthwise_conv.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, w, partial) -> dx
class DepthwiseConvBackwardDataOp final : public Op {
 public:
  DepthwiseConvBackwardDataOp(const kernels::DepthwiseConv& conv, const Shape& x) : conv_(conv), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "depthwise_conv_backward_data"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[0].shape.elements() * conv_.kernel * conv_.kernel;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::depthwise_conv_backward_data(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]));
  }

 private:
  kernels::DepthwiseConv conv_;
  Shape x_;
};

/// (x, dy, partial) -> dw
class DepthwiseConvBackwardWeightOp final : public Op {
 public:
  explicit DepthwiseConvBackwardWeightOp(const kernels::DepthwiseConv& conv) : conv_(conv) {}

  [[nodiscard]] std::string_view kind() const override { return "depthwise_conv_backward_weight"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{conv_.kernel, conv_.kernel, in[0].shape[-1]}};
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::depthwise_conv_backward_weight_workspace(conv_, in[0].shape);
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[1].shape.elements() * conv_.kernel * conv_.kernel;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::depthwise_conv_backward_weight(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]),
                                            args.workspace);
  }

 private:
  kernels::DepthwiseConv conv_;
};

}  // namespace

std::string DepthwiseConvOp::key() const {
  return fmt::format("depthwise_conv k{} s{} d{} p{}", conv_.kernel, conv_.stride, conv_.dilation, conv_.padding);
}

std::vector<TensorType> DepthwiseConvOp::infer(std::span<const TensorType> in) const {
  return {conv_.output_shape(in[0].shape)};
}

std::int64_t DepthwiseConvOp::multiply_adds(std::span<const TensorType> in) const {
  return conv_.output_shape(in[0].shape).elements() * conv_.kernel * conv_.kernel;
}

void DepthwiseConvOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::depthwise_conv_forward(ctx, conv_, args.in[0], args.in[1], args.out[0]);
}

void DepthwiseConvOp::backward(Backward& backward) const {
  const ValueId x = backward.input(0);
  const ValueId w = backward.input(1);
  const ValueId dy = backward.gradient(0);
  if (backward.wanted(1)) {
    backward.contribute(1, std::make_shared<DepthwiseConvBackwardWeightOp>(conv_), {x, dy});
  }
  if (backward.wanted(0)) {
    const Shape shape = backward.graph().shape(x);
    backward.contribute(0, std::make_shared<DepthwiseConvBackwardDataOp>(conv_, shape), {dy, w});
  }
}

ValueId nodes::depthwise_conv(Graph& graph, ValueId x, const std::string& name, const kernels::DepthwiseConv& conv) {
  const std::int64_t k = conv.kernel;
  const ValueId w = graph.parameter({.name = name + ".weight",
                                     .shape = {k, k, graph.shape(x)[-1]},
                                     .layout = ParameterLayout::depthwise,
                                     .init = ParameterInit::uniform,
                                     .fan_in = k * k});
  return graph.add1(std::make_shared<DepthwiseConvOp>(conv), std::array{x, w});
}

}  // namespace dnas::engine
