#include "dnas/kernels/conv.hpp"

#include "core/check.hpp"
#include "dnas/kernels/error.hpp"
#include "ops/conv_cpu.hpp"

#include <fmt/format.h>

#include <string_view>

namespace dnas::kernels {

namespace {

void check_option(std::string_view name, int value, int least) {
  if (value < least) throw ConfigError(fmt::format("conv: {} is {}, expected {} or more", name, value, least));
}

void check_options(const Conv& conv) {
  check_option("kernel_h", conv.kernel_h, 1);
  check_option("kernel_w", conv.kernel_w, 1);
  check_option("stride_h", conv.stride_h, 1);
  check_option("stride_w", conv.stride_w, 1);
  check_option("padding_h", conv.padding_h, 0);
  check_option("padding_w", conv.padding_w, 0);
}

void check_call(std::string_view operation, const Context& ctx, const Conv& conv, std::string_view x_name,
                const TensorView& x, std::string_view w_name, const TensorView& w, std::string_view y_name,
                const TensorView& y, std::span<std::byte> workspace) {
  const auto where = [&](std::string_view name) { return check::Where(operation, name); };
  check_options(conv);
  check::ranked(where(x_name), x, 4);
  check::ranked(where(w_name), w, 4);
  check::dense(where(w_name), w, {w.shape[0], conv.kernel_h, conv.kernel_w, x.channels()});
  check::shaped(where(y_name), y, conv.output_shape(x.shape, w.shape[0]));
  check::workspace(operation, workspace, conv_workspace(ctx, conv, x.shape, w.shape[0]));
}

}  // namespace

Shape Conv::output_shape(const Shape& x, std::int64_t out_channels) const {
  check_options(*this);
  if (x.rank() != 4) throw ShapeError(fmt::format("conv: x is {}, expected a tensor of rank 4", x.to_string()));
  const std::int64_t height = x[1] + 2 * padding_h - kernel_h;
  const std::int64_t width = x[2] + 2 * padding_w - kernel_w;
  if (x.elements() == 0 || out_channels < 1 || height < 0 || width < 0) {
    throw ShapeError(
        fmt::format("conv: x {} with kernel {}x{}, padding {}x{} and {} output channels gives an empty output",
                    x.to_string(), kernel_h, kernel_w, padding_h, padding_w, out_channels));
  }
  return {x[0], height / stride_h + 1, width / stride_w + 1, out_channels};
}

std::size_t conv_workspace(const Context& ctx, const Conv& conv, const Shape& x, std::int64_t out_channels) {
  const Shape y = conv.output_shape(x, out_channels);
  return sizeof(float) * static_cast<std::size_t>(cpu::conv_floats(ctx, conv, x, y));
}

void conv_forward(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& w, const TensorView& y,
                  std::span<std::byte> workspace) {
  check_call("conv_forward", ctx, conv, "x", x, "w", w, "y", y, workspace);
  cpu::conv_forward(ctx, conv, x, w, y, reinterpret_cast<float*>(workspace.data()));
}

void conv_backward_data(const Context& ctx, const Conv& conv, const TensorView& dy, const TensorView& w,
                        const TensorView& dx, Write write, std::span<std::byte> workspace) {
  check_call("conv_backward_data", ctx, conv, "dx", dx, "w", w, "dy", dy, workspace);
  cpu::conv_backward_data(ctx, conv, dy, w, dx, write, reinterpret_cast<float*>(workspace.data()));
}

void conv_backward_weight(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& dy,
                          const TensorView& dw, Write write, std::span<std::byte> workspace) {
  check_call("conv_backward_weight", ctx, conv, "x", x, "dw", dw, "dy", dy, workspace);
  cpu::conv_backward_weight(ctx, conv, x, dy, dw, write, reinterpret_cast<float*>(workspace.data()));
}

}  // namespace dnas::kernels
