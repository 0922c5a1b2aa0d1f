#include "dnas/kernels/pointwise_conv.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/pointwise_conv_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {

namespace {

void check_options(const PointwiseConv& conv) {
  if (conv.stride < 1) throw ConfigError(fmt::format("pointwise_conv: stride is {}, expected 1 or more", conv.stride));
  if (conv.offset < 0) throw ConfigError(fmt::format("pointwise_conv: offset is {}, expected 0 or more", conv.offset));
}

void check_tensors(std::string_view operation, const PointwiseConv& conv, std::string_view x_name, const TensorView& x,
                   std::string_view w_name, const TensorView& w, std::string_view y_name, const TensorView& y) {
  const auto where = [&](std::string_view name) { return check::Where(operation, name); };
  check_options(conv);
  check::ranked(where(x_name), x, 4);
  check::ranked(where(w_name), w, 2);
  check::dense(where(w_name), w, {w.shape[0], x.channels()});
  check::shaped(where(y_name), y, conv.output_shape(x.shape, w.shape[0]));
}

}  // namespace

Shape PointwiseConv::output_shape(const Shape& x, std::int64_t out_channels) const {
  check_options(*this);
  if (x.rank() != 4) {
    throw ShapeError(fmt::format("pointwise_conv: x is {}, expected a tensor of rank 4", x.to_string()));
  }
  if (x.elements() == 0 || out_channels < 1 || x[1] <= offset || x[2] <= offset) {
    throw ShapeError(fmt::format("pointwise_conv: x {} with offset {} and {} output channels gives an empty output",
                                 x.to_string(), offset, out_channels));
  }
  return {x[0], (x[1] - offset - 1) / stride + 1, (x[2] - offset - 1) / stride + 1, out_channels};
}

void pointwise_conv_forward(const Context& ctx, const PointwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y) {
  check_tensors("pointwise_conv_forward", conv, "x", x, "w", w, "y", y);
  cpu::pointwise_conv_forward(ctx, conv, x, w, y);
}

void pointwise_conv_backward_data(const Context& ctx, const PointwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write) {
  check_tensors("pointwise_conv_backward_data", conv, "dx", dx, "w", w, "dy", dy);
  cpu::pointwise_conv_backward_data(ctx, conv, dy, w, dx, write);
}

std::size_t pointwise_conv_backward_weight_workspace(const PointwiseConv& conv, const Shape& x,
                                                     std::int64_t out_channels) {
  const Shape y = conv.output_shape(x, out_channels);
  return sizeof(float) * static_cast<std::size_t>(cpu::pointwise_conv_backward_weight_floats(conv, x, y));
}

void pointwise_conv_backward_weight(const Context& ctx, const PointwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace) {
  constexpr std::string_view operation = "pointwise_conv_backward_weight";
  check_tensors(operation, conv, "x", x, "dw", dw, "dy", dy);
  check::workspace(operation, workspace, pointwise_conv_backward_weight_workspace(conv, x.shape, dy.channels()));
  cpu::pointwise_conv_backward_weight(ctx, conv, x, dy, dw, write, reinterpret_cast<float*>(workspace.data()));
}

}  // namespace dnas::kernels
