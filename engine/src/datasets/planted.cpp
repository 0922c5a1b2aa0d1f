#include "data/normalisation.hpp"
#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/rng.hpp"

#include <cstdint>

namespace dnas::engine::family::datasets {
namespace {

constexpr int side = 16;
constexpr int lag = 3;
constexpr std::int64_t train_images = 2048;
constexpr std::int64_t test_images = 512;

/// Which way neighbours resemble each other: an image's class.
enum Direction { across, down, diagonally, directions };

/// White noise u added to itself `lag` pixels away, in the direction that is the class: x(p) = (u(p) + u(p + lag)) / 2.
///
/// No pixel and no local maximum says anything about the class: what does is the correlation of pixels 3 apart in one
/// direction, and pixels at any other distance are independent. Of the candidates of the DARTS space only sep_conv_5x5
/// has two such pixels in reach of one kernel: 3x3 kernels span 2 pixels, and the taps of the dilated ones lie an even
/// number apart. Its ReLU between the two kernels then turns the correlation into a mean. So sep_conv_5x5 is the
/// planted best operation; the others have to be stacked.
ImageSet draw(std::uint64_t seed, std::uint32_t part, std::int64_t images) {
  constexpr int noise_side = side + lag;
  const Philox random(seed, Stream::synthetic_data, part);
  ImageSet set;
  set.image = Shape{side, side, 1};
  set.pixels.reserve(static_cast<std::size_t>(images * side * side));
  for (std::int64_t n = 0; n < images; ++n) {
    const auto noise = [&](int y, int x) {
      return random(static_cast<std::uint64_t>((n * noise_side + y) * noise_side + x))[0] >> 24;
    };
    const auto direction = static_cast<Direction>(n % directions);
    const int step_y = direction == across ? 0 : lag;
    const int step_x = direction == down ? 0 : lag;
    set.labels.push_back(direction);
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        set.pixels.push_back(static_cast<std::uint8_t>((noise(y, x) + noise(y + step_y, x + step_x)) / 2));
      }
    }
  }
  return set;
}

Dataset open(const DatasetOptions& options) {
  Dataset dataset;
  dataset.name = "planted";
  dataset.classes = directions;
  dataset.train = draw(options.seed, 0, train_images);
  dataset.test = draw(options.seed, 1, test_images);
  data::measure_normalisation(dataset);
  return dataset;
}

}  // namespace

void register_planted(Registry<DatasetEntry>& registry) {
  registry.add(
      {.name = "planted",
       .help = "synthetic: noise with a correlation 3 pixels apart; sep_conv_5x5 is the planted best operation",
       .source = "generated from the seed",
       .open = open});
}

}  // namespace dnas::engine::family::datasets
