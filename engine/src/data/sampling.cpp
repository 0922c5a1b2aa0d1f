#include "data/sampling.hpp"

#include <utility>

namespace dnas::engine::data {
namespace {

/// A 32-bit word as an integer in [0, bound).
std::uint32_t scaled(std::uint32_t word, std::uint64_t bound) noexcept {
  return static_cast<std::uint32_t>((word * bound) >> 32);
}

}  // namespace

void shuffle(std::span<std::int64_t> order, std::uint64_t seed, Stream stream, std::uint32_t epoch) noexcept {
  const Philox draws(seed, stream, epoch);
  for (std::size_t last = order.size(); last > 1; --last) {
    const std::uint32_t chosen = draws.below(last - 1, static_cast<std::uint32_t>(last));
    std::swap(order[last - 1], order[chosen]);
  }
}

void draw(std::span<std::int64_t> order, std::size_t count, std::uint64_t seed, Stream stream, std::uint32_t epoch,
          std::uint64_t first_draw) noexcept {
  const Philox draws(seed, stream, epoch);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t chosen = i + draws.below(first_draw + i, static_cast<std::uint32_t>(order.size() - i));
    std::swap(order[i], order[chosen]);
  }
}

kernels::Augmentation draw_augmentation(const AugmentationRange& range, const Philox& draws,
                                        std::uint64_t position) noexcept {
  const auto words = draws(position);
  kernels::Augmentation result;
  // Both shifts from one word: the choices are few, so the product of their numbers is far below 2^32.
  const auto shifts = static_cast<std::uint32_t>(2 * range.crop_padding + 1);
  const std::uint32_t shift = scaled(words[0], std::uint64_t{shifts} * shifts);
  result.shift_y = static_cast<std::int16_t>(static_cast<int>(shift / shifts) - range.crop_padding);
  result.shift_x = static_cast<std::int16_t>(static_cast<int>(shift % shifts) - range.crop_padding);
  result.flip = range.flip && (words[1] >> 31) != 0;
  if (range.cutout_length > 0) {
    result.cutout_length = static_cast<std::int16_t>(range.cutout_length);
    result.cutout_y = static_cast<std::int16_t>(scaled(words[2], static_cast<std::uint64_t>(range.height)));
    result.cutout_x = static_cast<std::int16_t>(scaled(words[3], static_cast<std::uint64_t>(range.width)));
  }
  return result;
}

}  // namespace dnas::engine::data
