#include "ops/window_axis.hpp"

#include <cstddef>

namespace dnas::kernels {
namespace {

void append(WindowAxis& axis, int index, int offset) {
  axis.tap[static_cast<std::size_t>(axis.taps++)] = {index, offset};
}

void measure(WindowAxis& axis) {
  if (axis.taps == 0) return;
  axis.lowest = axis.tap[0].offset;
  axis.reach = axis.tap[static_cast<std::size_t>(axis.taps - 1)].offset - axis.lowest + 1;
}

}  // namespace

WindowAxis trimmed(const WindowAxis& axis) {
  WindowAxis kept = axis;
  kept.taps = 0;
  kept.lowest = 0;
  kept.reach = 1;
  for (std::size_t a = 0; a < static_cast<std::size_t>(axis.taps); ++a) {
    const WindowAxis::Tap& tap = axis.tap[a];
    const std::int64_t last = (axis.outputs - 1) * axis.step + tap.offset;
    if (axis.outputs > 0 && last >= 0 && tap.offset < axis.source) append(kept, tap.index, tap.offset);
  }
  measure(kept);
  return kept;
}

WindowAxis window_forward(std::int64_t in, std::int64_t out, int kernel, int stride, int dilation, int padding) {
  WindowAxis axis;
  axis.source = in;
  axis.outputs = out;
  axis.step = stride;
  for (int a = 0; a < kernel; ++a)
    append(axis, a, a * dilation - padding);
  measure(axis);
  return axis;
}

WindowAxis window_backward(std::int64_t in, std::int64_t out, int kernel, int stride, int dilation, int padding,
                           int phase) {
  WindowAxis axis;
  axis.source = out;
  axis.outputs = in > phase ? (in - phase - 1) / stride + 1 : 0;
  axis.out_first = phase;
  axis.out_step = stride;
  // Input i = o * stride + phase was tap a of window (i + padding - a * dilation) / stride, if that is whole.
  for (int a = kernel - 1; a >= 0; --a) {
    const int distance = phase + padding - a * dilation;
    if (distance % stride == 0) append(axis, a, distance / stride);
  }
  measure(axis);
  return axis;
}

}  // namespace dnas::kernels
