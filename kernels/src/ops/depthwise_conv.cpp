#include "dnas/kernels/depthwise_conv.hpp"

#include "core/check.hpp"
#include "ops/depthwise_conv_cpu.hpp"
#include "ops/window_check.hpp"

namespace dnas::kernels {
namespace {

constexpr std::string_view forward = "depthwise_conv_forward";
constexpr std::string_view backward_data = "depthwise_conv_backward_data";
constexpr std::string_view backward_weight = "depthwise_conv_backward_weight";

Shape output_of(std::string_view operation, const DepthwiseConv& conv, const Shape& x) {
  return window_output(operation, {conv.kernel, conv.stride, conv.dilation, conv.padding}, x);
}

Shape weights_of(const DepthwiseConv& conv, const Shape& x) {
  return {conv.kernel, conv.kernel, x[3]};
}

}  // namespace

Shape DepthwiseConv::output_shape(const Shape& x) const {
  return output_of("depthwise_conv", *this, x);
}

void depthwise_conv_forward(const Context& ctx, const DepthwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y) {
  const Shape output = output_of(forward, conv, x.shape);
  check::tensor("depthwise_conv_forward: x", x);
  check::dense("depthwise_conv_forward: w", w, weights_of(conv, x.shape));
  check::shaped("depthwise_conv_forward: y", y, output);
  cpu::depthwise_conv_forward(ctx, conv, x, w, y);
}

void depthwise_conv_backward_data(const Context& ctx, const DepthwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write) {
  const Shape output = output_of(backward_data, conv, dx.shape);
  check::shaped("depthwise_conv_backward_data: dy", dy, output);
  check::dense("depthwise_conv_backward_data: w", w, weights_of(conv, dx.shape));
  check::tensor("depthwise_conv_backward_data: dx", dx);
  cpu::depthwise_conv_backward_data(ctx, conv, dy, w, dx, write);
}

std::size_t depthwise_conv_backward_weight_workspace(const DepthwiseConv& conv, const Shape& x) {
  return cpu::depthwise_conv_backward_weight_workspace(conv, output_of(backward_weight, conv, x));
}

void depthwise_conv_backward_weight(const Context& ctx, const DepthwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace) {
  const Shape output = output_of(backward_weight, conv, x.shape);
  check::tensor("depthwise_conv_backward_weight: x", x);
  check::shaped("depthwise_conv_backward_weight: dy", dy, output);
  check::dense("depthwise_conv_backward_weight: dw", dw, weights_of(conv, x.shape));
  check::workspace(backward_weight, workspace, cpu::depthwise_conv_backward_weight_workspace(conv, output));
  cpu::depthwise_conv_backward_weight(ctx, conv, x, dy, dw, write, workspace);
}

}  // namespace dnas::kernels
