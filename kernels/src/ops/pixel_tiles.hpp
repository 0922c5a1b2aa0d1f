#pragma once

#include <cstdint>

// Loops over a run of pixels that lies in the first-level cache, channels innermost.
namespace dnas::kernels {

struct PixelTile {
  const float* first;
  std::int64_t pixel_stride;
  std::int64_t pixels;
  std::int64_t channels;
  /// The tile that comes after this one, of as many pixels: asked for while this one is read. Or null.
  const float* next = nullptr;
  std::int64_t next_stride = 0;
};

/// Adds a tile to moments [moment_rows, channels] (batch_moments.hpp), whose shifts are set.
void add_moments(const PixelTile& y, float* moments);

/// dy [pixels, channels] = scale * g + slope * (y - mean) + offset, by the rows of a normalisation gradient
/// [4, channels]. g and y have the same pixels and channels. Between two tiles lies work on the first, so that the next
/// has time to arrive: without asking for it, a third of a bundle's backward pass is waiting (separable_bundle_bench).
void form_gradient(const PixelTile& g, const PixelTile& y, const float* gradient, float* dy);

}  // namespace dnas::kernels
