#pragma once

#include "dnas/kernels/augment.hpp"
#include "dnas/kernels/rng.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// The random choices of a loader. Each is a pure function of (seed, stream, epoch, place in the epoch).
namespace dnas::engine::data {

/// Shuffles `order` with the permutation of this seed, stream and epoch (Fisher-Yates).
void shuffle(std::span<std::int64_t> order, std::uint64_t seed, Stream stream, std::uint32_t epoch) noexcept;

/// Puts `count` elements of `order`, drawn without repetition, at its front. The draws are those of the elements
/// `first_draw`... of the stream.
void draw(std::span<std::int64_t> order, std::size_t count, std::uint64_t seed, Stream stream, std::uint32_t epoch,
          std::uint64_t first_draw) noexcept;

/// What may be done to an image.
struct AugmentationRange {
  int crop_padding = 0;
  bool flip = false;
  int cutout_length = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

/// The augmentation of the image at `position` of the epoch: a uniform crop, a mirror image half of the time, a cut-out
/// square with its centre anywhere in the image (DeVries and Taylor 2017, arXiv:1708.04552).
[[nodiscard]] kernels::Augmentation draw_augmentation(const AugmentationRange& range, const Philox& draws,
                                                      std::uint64_t position) noexcept;

}  // namespace dnas::engine::data
