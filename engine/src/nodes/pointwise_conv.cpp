#include "nodes/pointwise_conv.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, w, partial) -> dx
class PointwiseConvBackwardDataOp final : public Op {
 public:
  PointwiseConvBackwardDataOp(const kernels::PointwiseConv& conv, const Shape& x) : conv_(conv), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "pointwise_conv_backward_data"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[0].shape.elements() * x_[-1] / conv_.groups;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::pointwise_conv_backward_data(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]));
  }

 private:
  kernels::PointwiseConv conv_;
  Shape x_;
};

/// (x, dy, partial) -> dw
class PointwiseConvBackwardWeightOp final : public Op {
 public:
  explicit PointwiseConvBackwardWeightOp(const kernels::PointwiseConv& conv) : conv_(conv) {}

  [[nodiscard]] std::string_view kind() const override { return "pointwise_conv_backward_weight"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{in[1].shape[-1], in[0].shape[-1] / conv_.groups}};
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::pointwise_conv_backward_weight_workspace(conv_, in[0].shape, in[1].shape[-1]);
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[1].shape.elements() * in[0].shape[-1] / conv_.groups;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::pointwise_conv_backward_weight(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]),
                                            args.workspace);
  }

 private:
  kernels::PointwiseConv conv_;
};

}  // namespace

std::string PointwiseConvOp::key() const {
  return fmt::format("pointwise_conv s{} o{} g{}", conv_.stride, conv_.offset, conv_.groups);
}

std::vector<TensorType> PointwiseConvOp::infer(std::span<const TensorType> in) const {
  return {conv_.output_shape(in[0].shape, out_channels_)};
}

std::int64_t PointwiseConvOp::multiply_adds(std::span<const TensorType> in) const {
  return conv_.output_shape(in[0].shape, out_channels_).elements() * in[0].shape[-1] / conv_.groups;
}

void PointwiseConvOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::pointwise_conv_forward(ctx, conv_, args.in[0], args.in[1], args.out[0]);
}

void PointwiseConvOp::backward(Backward& backward) const {
  const ValueId x = backward.input(0);
  const ValueId w = backward.input(1);
  const ValueId dy = backward.gradient(0);
  if (backward.wanted(1)) {
    backward.contribute(1, std::make_shared<PointwiseConvBackwardWeightOp>(conv_), {x, dy});
  }
  if (backward.wanted(0)) {
    const Shape shape = backward.graph().shape(x);
    backward.contribute(0, std::make_shared<PointwiseConvBackwardDataOp>(conv_, shape), {dy, w});
  }
}

ValueId nodes::pointwise_conv(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels,
                              const kernels::PointwiseConv& conv) {
  (void)conv.output_shape(graph.shape(x), out_channels);  // before a parameter of a shape that makes no sense
  const std::int64_t in_channels = graph.shape(x)[-1] / conv.groups;
  const ValueId w = graph.parameter({.name = name + ".weight",
                                     .shape = {out_channels, in_channels},
                                     .layout = ParameterLayout::pointwise,
                                     .init = ParameterInit::uniform,
                                     .fan_in = in_channels});
  return graph.add1(std::make_shared<PointwiseConvOp>(conv, out_channels), std::array{x, w});
}

}  // namespace dnas::engine
