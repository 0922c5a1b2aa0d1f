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
  if (conv.groups < 1) throw ConfigError(fmt::format("pointwise_conv: groups is {}, expected 1 or more", conv.groups));
}

void check_tensors(std::string_view operation, const PointwiseConv& conv, std::string_view x_name, const TensorView& x,
                   std::string_view w_name, const TensorView& w, std::string_view y_name, const TensorView& y) {
  const auto where = [&](std::string_view name) { return check::Where(operation, name); };
  check_options(conv);
  check::ranked(where(x_name), x, 4);
  check::ranked(where(w_name), w, 2);
  const Shape y_shape = conv.output_shape(x.shape, w.shape[0]);
  check::dense(where(w_name), w, {w.shape[0], x.channels() / conv.groups});
  check::shaped(where(y_name), y, y_shape);
}

/// Run `group` of the channels of an image, or of the rows of the weights.
TensorView channels_of(const TensorView& t, int group, int groups) {
  const Shape& s = t.shape;
  const std::int64_t channels = s[3] / groups;
  return {t.f32() + group * channels, {s[0], s[1], s[2], channels}, t.pixel_stride};
}
TensorView rows_of(const TensorView& w, int group, int groups) {
  const std::int64_t rows = w.shape[0] / groups;
  return {w.f32() + group * rows * w.shape[1], {rows, w.shape[1]}};
}

/// Calls product(x, w, y) for each group: an ungrouped convolution of channel slices.
template <typename Product>
void for_each_group(const PointwiseConv& conv, const TensorView& x, const TensorView& w, const TensorView& y,
                    Product&& product) {
  for (int g = 0; g < conv.groups; ++g)
    product(channels_of(x, g, conv.groups), rows_of(w, g, conv.groups), channels_of(y, g, conv.groups));
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
  if (x[3] % groups != 0 || out_channels % groups != 0) {
    throw ShapeError(
        fmt::format("pointwise_conv: {} groups do not divide the channels of x {} and the {} of the output", groups,
                    x.to_string(), out_channels));
  }
  return {x[0], (x[1] - offset - 1) / stride + 1, (x[2] - offset - 1) / stride + 1, out_channels};
}

void pointwise_conv_forward(const Context& ctx, const PointwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y) {
  check_tensors("pointwise_conv_forward", conv, "x", x, "w", w, "y", y);
  for_each_group(conv, x, w, y, [&](const TensorView& from, const TensorView& weights, const TensorView& to) {
    cpu::pointwise_conv_forward(ctx, conv, from, weights, to);
  });
}

void pointwise_conv_backward_data(const Context& ctx, const PointwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write) {
  check_tensors("pointwise_conv_backward_data", conv, "dx", dx, "w", w, "dy", dy);
  for_each_group(conv, dx, w, dy, [&](const TensorView& to, const TensorView& weights, const TensorView& from) {
    cpu::pointwise_conv_backward_data(ctx, conv, from, weights, to, write);
  });
}

std::size_t pointwise_conv_backward_weight_workspace(const PointwiseConv& conv, const Shape& x,
                                                     std::int64_t out_channels) {
  // The groups take turns.
  const Shape y = conv.output_shape(x, out_channels);
  const auto of_group = [&](const Shape& s) { return Shape{s[0], s[1], s[2], s[3] / conv.groups}; };
  return sizeof(float) *
         static_cast<std::size_t>(cpu::pointwise_conv_backward_weight_floats(conv, of_group(x), of_group(y)));
}

void pointwise_conv_backward_weight(const Context& ctx, const PointwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace) {
  constexpr std::string_view operation = "pointwise_conv_backward_weight";
  check_tensors(operation, conv, "x", x, "dw", dw, "dy", dy);
  check::workspace(operation, workspace, pointwise_conv_backward_weight_workspace(conv, x.shape, dy.channels()));
  for_each_group(conv, x, dw, dy, [&](const TensorView& from, const TensorView& to, const TensorView& gradient) {
    cpu::pointwise_conv_backward_weight(ctx, conv, from, gradient, to, write,
                                        reinterpret_cast<float*>(workspace.data()));
  });
}

}  // namespace dnas::kernels
