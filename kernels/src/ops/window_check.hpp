#pragma once

#include "dnas/kernels/shape.hpp"

#include <string_view>

namespace dnas::kernels {

/// A window of `kernel` x `kernel` taps, `dilation` apart, moved by `stride` over an image padded by `padding`.
struct Window {
  int kernel;
  int stride;
  int dilation;
  int padding;
};

/// Shape [N, H', W', C] of what the window yields over x [N, H, W, C].
/// @throws ConfigError for a parameter without meaning, UnsupportedError for one beyond WindowAxis' limits, ShapeError
/// if x is not a rank 4 shape without empty axes or the output would be empty
Shape window_output(std::string_view operation, const Window& window, const Shape& x);

}  // namespace dnas::kernels
