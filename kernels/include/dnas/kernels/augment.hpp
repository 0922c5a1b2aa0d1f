#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>
#include <span>

namespace dnas::kernels {

/// What is done to one image. The defaults leave it as it is.
struct Augmentation {
  std::int16_t shift_y =
      0;  ///< crop offset after zero padding: output(y, x) = input(y + shift_y, x + shift_x), 0 outside
  std::int16_t shift_x = 0;
  std::int16_t cutout_y = 0;  ///< centre of the square set to 0 after normalising
  std::int16_t cutout_x = 0;
  std::int16_t cutout_length = 0;  ///< side; 0: none. Covers [centre - length/2, centre + length/2), clipped
  bool flip = false;               ///< mirror left to right, after the crop
};

/// Crop, flip, scale to [0, 1], normalise per channel, cut out: y = ((x / 255) - mean_c) / std_c.
///
/// x [N, H, W, C] u8 dense; y [N, H, W, C] f32 dense; one Augmentation per image; mean, std [C] f32.
/// Pixels that the crop takes from outside the image are 0 before normalising, as torchvision pads.
/// @throws ShapeError, DtypeError naming the argument
void augment(const Context& ctx, const TensorView& x, std::span<const Augmentation> augmentations,
             std::span<const float> mean, std::span<const float> std, const TensorView& y);

}  // namespace dnas::kernels
