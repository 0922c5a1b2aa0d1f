#include "dnas/kernels/conv.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, w, partial) -> dx
class ConvBackwardDataOp final : public Op {
 public:
  ConvBackwardDataOp(const kernels::Conv& conv, const Shape& x) : conv_(conv), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "conv_backward_data"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override {
    return kernels::conv_workspace(ctx, conv_, x_, in[0].shape[-1]);
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[0].shape.elements() * x_[-1] * conv_.kernel_h * conv_.kernel_w;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::conv_backward_data(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]),
                                args.workspace);
  }

 private:
  kernels::Conv conv_;
  Shape x_;
};

/// (x, dy, partial) -> dw
class ConvBackwardWeightOp final : public Op {
 public:
  explicit ConvBackwardWeightOp(const kernels::Conv& conv) : conv_(conv) {}

  [[nodiscard]] std::string_view kind() const override { return "conv_backward_weight"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{in[1].shape[-1], conv_.kernel_h, conv_.kernel_w, in[0].shape[-1]}};
  }
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override {
    return kernels::conv_workspace(ctx, conv_, in[0].shape, in[1].shape[-1]);
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[1].shape.elements() * in[0].shape[-1] * conv_.kernel_h * conv_.kernel_w;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::conv_backward_weight(ctx, conv_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]),
                                  args.workspace);
  }

 private:
  kernels::Conv conv_;
};

/// (x, w) -> y
class ConvOp final : public Op {
 public:
  ConvOp(const kernels::Conv& conv, std::int64_t out_channels) : conv_(conv), out_channels_(out_channels) {}

  [[nodiscard]] std::string_view kind() const override { return "conv"; }
  [[nodiscard]] std::string key() const override {
    return fmt::format("conv k{}x{} s{}x{} p{}x{}", conv_.kernel_h, conv_.kernel_w, conv_.stride_h, conv_.stride_w,
                       conv_.padding_h, conv_.padding_w);
  }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {conv_.output_shape(in[0].shape, out_channels_)};
  }
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override {
    return kernels::conv_workspace(ctx, conv_, in[0].shape, out_channels_);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return conv_.output_shape(in[0].shape, out_channels_).elements() * in[0].shape[-1] * conv_.kernel_h *
           conv_.kernel_w;
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::conv_forward(ctx, conv_, args.in[0], args.in[1], args.out[0], args.workspace);
  }
  void backward(Backward& backward) const override {
    const ValueId x = backward.input(0);
    const ValueId w = backward.input(1);
    const ValueId dy = backward.gradient(0);
    if (backward.wanted(1)) backward.contribute(1, std::make_shared<ConvBackwardWeightOp>(conv_), {x, dy});
    if (backward.wanted(0)) {
      const Shape shape = backward.graph().shape(x);
      backward.contribute(0, std::make_shared<ConvBackwardDataOp>(conv_, shape), {dy, w});
    }
  }

 private:
  kernels::Conv conv_;
  std::int64_t out_channels_;
};

}  // namespace

ValueId nodes::conv(Graph& graph, ValueId x, const std::string& name, std::int64_t out_channels,
                    const kernels::Conv& conv) {
  const std::int64_t in_channels = graph.shape(x)[-1];
  const ValueId w = graph.parameter({.name = name + ".weight",
                                     .shape = {out_channels, conv.kernel_h, conv.kernel_w, in_channels},
                                     .layout = ParameterLayout::conv,
                                     .init = ParameterInit::uniform,
                                     .fan_in = in_channels * conv.kernel_h * conv.kernel_w});
  return graph.add1(std::make_shared<ConvOp>(conv, out_channels), std::array{x, w});
}

}  // namespace dnas::engine
