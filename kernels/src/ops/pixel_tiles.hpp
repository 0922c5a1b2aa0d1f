#pragma once

#include <cstdint>

// Loops over a run of pixels that lies in the first-level cache, channels innermost.
namespace dnas::kernels {

struct PixelTile {
  const float* first;
  std::int64_t pixel_stride;
  std::int64_t pixels;
  std::int64_t channels;
};

/// Adds a tile to moments [moment_rows, channels] (batch_moments.hpp), whose shifts are set.
void add_moments(const PixelTile& y, float* moments);

/// dy [pixels, channels] = scale * g + slope * (y - mean) + offset, by the rows of a normalisation gradient
/// [4, channels]. g and y have the same pixels and channels.
void form_gradient(const PixelTile& g, const PixelTile& y, const float* gradient, float* dy);

}  // namespace dnas::kernels
