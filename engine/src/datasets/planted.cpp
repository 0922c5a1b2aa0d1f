#include "data/normalisation.hpp"
#include "dnas/engine/dataset.hpp"
#include "dnas/kernels/rng.hpp"

#include <array>

/// A classification problem with a known best operation, dil_conv_5x5, to check that a search finds it.
///
/// An image is a 2 x 2 arrangement of tiles of 8 x 8 pixels. The two upper tiles are noise; each lower tile repeats the
/// upper tile that lies diagonally across, as it is in class 0 and negated in class 1, so that nothing but the sign of
/// the correlation of pixels that are 8 rows and 8 columns apart tells the class:
///
///     A    B
///     sB   sA      s = +1 or -1
///
/// The candidates of the DARTS space, one by one:
/// - dil_conv_5x5 has taps at -4, -2, 0, 2, 4: two opposite corners see such a pair, and their sum, rectified by what
///   follows, is large or zero according to s. It is the only candidate that spans the distance in one convolution.
/// - sep_conv_5x5 applies two convolutions of 5 x 5, and reaches as far only through the product of corner taps of
/// both;
///   so do two dil_conv_3x3, one after the other. Such paths exist but are learnt late.
/// - sep_conv_3x3 and one dil_conv_3x3 span 4 pixels.
/// - max_pool_3x3 and avg_pool_3x3 destroy the sign: the noise is a checkerboard, +v -v / -v +v in blocks of 2 x 2
///   pixels, so its mean over a window nearly vanishes and its maximum is |v|.
/// - skip_connect and none add nothing.
///
/// Some of the blocks are drawn anew instead of repeated. Without that the first filter that is roughly right ends the
/// learning, and with it the gradient of the architecture, before the operations have separated.
namespace dnas::engine::family::datasets {
namespace {

constexpr std::size_t side = 16;
constexpr std::size_t block = 2;
constexpr std::size_t blocks = side / block;  // per row and column
constexpr std::size_t distance = blocks / 2;  // of a block and its repetition, in rows and in columns
constexpr int classes = 2;
constexpr std::int64_t train_images = 4000;
constexpr std::int64_t test_images = 500;
constexpr float repeated = 0.85F;

using Blocks = std::array<std::array<int, blocks>, blocks>;

/// The blocks of one image: odd values in [-255, 255], so that both v and -v become whole pixels.
Blocks draw_blocks(const Philox& random, std::uint64_t first_element, int sign) {
  Blocks values{};
  for (std::size_t y = 0; y < blocks; ++y) {
    for (std::size_t x = 0; x < blocks; ++x) {
      const auto words = random(first_element + y * blocks + x);
      const bool repeats = y >= distance && Philox::to_unit(words[1]) < repeated;
      const int noise = 2 * static_cast<int>(words[0] >> 24) - 255;
      values[y][x] = repeats ? sign * values[y - distance][(x + distance) % blocks] : noise;
    }
  }
  return values;
}

/// The classes take turns, so that any run of images holds as many of each.
ImageSet draw_images(std::uint64_t seed, std::uint32_t part, std::int64_t count) {
  const Philox random(seed, Stream::synthetic_data, part);
  ImageSet set;
  set.image = Shape{side, side, 1};
  set.pixels.reserve(static_cast<std::size_t>(count) * side * side);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % classes;
    const Blocks values = draw_blocks(random, static_cast<std::uint64_t>(i) * blocks * blocks, label == 0 ? 1 : -1);
    for (std::size_t y = 0; y < side; ++y) {
      for (std::size_t x = 0; x < side; ++x) {
        const int value = values[y / block][x / block];
        set.pixels.push_back(static_cast<std::uint8_t>((255 + ((x + y) % 2 == 0 ? value : -value)) / 2));
      }
    }
    set.labels.push_back(label);
  }
  return set;
}

Dataset open(const DatasetOptions& options) {
  Dataset dataset;
  dataset.name = "planted";
  dataset.classes = classes;
  dataset.train = draw_images(options.seed, 0, train_images);
  dataset.test = draw_images(options.seed, 1, test_images);
  data::measure_normalisation(dataset);
  return dataset;
}

}  // namespace

void register_planted(Registry<DatasetEntry>& registry) {
  registry.add({"planted", "4,500 synthetic textures of 16x16 grey pixels that dil_conv_5x5 tells apart best",
                "drawn from the seed; the construction is explained in engine/src/datasets/planted.cpp",
                Shape{16, 16, 1}, classes, open});
}

}  // namespace dnas::engine::family::datasets
