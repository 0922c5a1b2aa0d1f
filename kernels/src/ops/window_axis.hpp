#pragma once

#include <array>
#include <cstdint>

namespace dnas::kernels {

/// One spatial axis of a sliding-window operation, forward or backward: output o reads source positions
/// o * step + tap.offset. The offsets ascend, so the taps that hit the source are always a contiguous range.
struct WindowAxis {
  static constexpr int max_taps = 15;
  static constexpr int max_reach = 25;  ///< source positions from the lowest to the highest tap
  static constexpr int max_step = 8;

  struct Tap {
    int index = 0;  ///< position in the kernel
    int offset = 0;
  };

  std::int64_t source = 0;   ///< extent of what is read
  std::int64_t outputs = 0;  ///< how many outputs this axis produces
  std::int64_t step = 1;
  std::int64_t out_first = 0;  ///< output o is written at out_first + o * out_step
  std::int64_t out_step = 1;
  int taps = 0;
  std::array<Tap, max_taps> tap{};
  int lowest = 0;
  int reach = 1;

  /// Tap indices [first, last) whose source position exists for output `o`.
  struct Range {
    int first;
    int last;
  };
  [[nodiscard]] Range valid(std::int64_t o) const noexcept {
    int first = 0;
    int last = taps;
    while (first < last && o * step + tap[static_cast<std::size_t>(first)].offset < 0)
      ++first;
    while (last > first && o * step + tap[static_cast<std::size_t>(last - 1)].offset >= source)
      --last;
    return {first, last};
  }
};

/// The axis without the taps that hit the source for no output: those of a wide window over a small image.
[[nodiscard]] WindowAxis trimmed(const WindowAxis& axis);

/// Axis of length `in` read by windows of `kernel` taps, `dilation` apart, every `stride`, after `padding`.
WindowAxis window_forward(std::int64_t in, std::int64_t out, int kernel, int stride, int dilation, int padding);

/// The adjoint: positions phase, phase + stride, ... of the input axis gather from the `out` windows over them.
/// Phases 0 .. stride - 1 together cover the input; within one, the taps are the same for every position.
WindowAxis window_backward(std::int64_t in, std::int64_t out, int kernel, int stride, int dilation, int padding,
                           int phase);

}  // namespace dnas::kernels
