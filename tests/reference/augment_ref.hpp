#pragma once

#include "dnas/kernels/augment.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dnas::reference {

/// One image [height, width, channels], step by step on whole images.
inline std::vector<double> augment(std::span<const std::uint8_t> image, int height, int width, int channels,
                                   const kernels::Augmentation& a, std::span<const float> mean,
                                   std::span<const float> std) {
  const auto at = [&](int y, int x, int c) { return static_cast<std::size_t>((y * width + x) * channels + c); };
  std::vector<double> cropped(image.size(), 0.0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int from_y = y + a.shift_y;
      const int from_x = x + a.shift_x;
      if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width) continue;
      for (int c = 0; c < channels; ++c)
        cropped[at(y, x, c)] = image[at(from_y, from_x, c)];
    }
  }
  std::vector<double> out(image.size());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool cut = a.cutout_y - a.cutout_length / 2 <= y && y < a.cutout_y + a.cutout_length / 2 &&
                       a.cutout_x - a.cutout_length / 2 <= x && x < a.cutout_x + a.cutout_length / 2;
      for (int c = 0; c < channels; ++c) {
        const double value = cropped[at(y, a.flip ? width - 1 - x : x, c)] / 255.0;
        const auto i = static_cast<std::size_t>(c);
        out[at(y, x, c)] = cut ? 0.0 : (value - static_cast<double>(mean[i])) / static_cast<double>(std[i]);
      }
    }
  }
  return out;
}

}  // namespace dnas::reference
