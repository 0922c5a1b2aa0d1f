#include "ops/window_check.hpp"

#include "dnas/kernels/error.hpp"
#include "ops/window_axis.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace dnas::kernels {
namespace {

void at_least(std::string_view operation, std::string_view name, int value, int least) {
  if (value < least) {
    throw ConfigError(fmt::format("{}: {} is {}, expected {} or more", operation, name, value, least));
  }
}

void check_parameters(std::string_view operation, const Window& w) {
  at_least(operation, "kernel", w.kernel, 1);
  at_least(operation, "stride", w.stride, 1);
  at_least(operation, "dilation", w.dilation, 1);
  at_least(operation, "padding", w.padding, 0);
  if (w.kernel > WindowAxis::max_taps) {
    throw UnsupportedError(
        fmt::format("{}: kernel is {}, supported up to {}", operation, w.kernel, WindowAxis::max_taps));
  }
  if (w.stride > WindowAxis::max_step) {
    throw UnsupportedError(
        fmt::format("{}: stride is {}, supported up to {}", operation, w.stride, WindowAxis::max_step));
  }
  const std::int64_t reach = std::int64_t{w.dilation} * (w.kernel - 1) + 1;
  if (reach > WindowAxis::max_reach) {
    throw UnsupportedError(fmt::format("{}: kernel {} with dilation {} spans {} pixels, supported up to {}", operation,
                                       w.kernel, w.dilation, reach, WindowAxis::max_reach));
  }
}

}  // namespace

Shape window_output(std::string_view operation, const Window& window, const Shape& x) {
  check_parameters(operation, window);
  if (x.rank() != 4 || x.elements() == 0) {
    throw ShapeError(fmt::format("{}: x is {}, expected [N, H, W, C] without empty axes", operation, x.to_string()));
  }
  const std::int64_t span = std::int64_t{window.dilation} * (window.kernel - 1) + 1;
  const std::int64_t room_h = x[1] + 2 * std::int64_t{window.padding} - span;
  const std::int64_t room_w = x[2] + 2 * std::int64_t{window.padding} - span;
  if (room_h < 0 || room_w < 0) {
    throw ShapeError(fmt::format(
        "{}: x is {}, expected at least {} pixels each way for kernel {}, dilation {}, padding {}", operation,
        x.to_string(), span - 2 * std::int64_t{window.padding}, window.kernel, window.dilation, window.padding));
  }
  return {x[0], room_h / window.stride + 1, room_w / window.stride + 1, x[3]};
}

}  // namespace dnas::kernels
