#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <algorithm>
#include <cstdint>

namespace dnas::kernels {

/// Zeroes `count` pixels of t from pixel `first` on; a slice's neighbours are left alone.
inline void zero_pixels(const TensorView& t, std::int64_t first, std::int64_t count) {
  float* pixel = t.f32() + first * t.pixel_stride;
  if (t.dense()) {
    std::fill_n(pixel, count * t.channels(), 0.0F);
    return;
  }
  for (std::int64_t p = 0; p < count; ++p, pixel += t.pixel_stride)
    std::fill_n(pixel, t.channels(), 0.0F);
}

}  // namespace dnas::kernels
