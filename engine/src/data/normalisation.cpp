#include "data/normalisation.hpp"

#include "dnas/kernels/error.hpp"

#include <fmt/core.h>

#include <cmath>

namespace dnas::engine::data {

void measure_normalisation(Dataset& dataset) {
  const auto channels = static_cast<std::size_t>(dataset.train.image[-1]);
  std::vector<std::uint64_t> sums(channels), squares(channels);
  const std::vector<std::uint8_t>& pixels = dataset.train.pixels;
  for (std::size_t i = 0; i < pixels.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::uint64_t value = pixels[i + c];
      sums[c] += value;
      squares[c] += value * value;
    }
  }
  const std::size_t images_pixels = pixels.size() / channels;
  const auto count = static_cast<double>(images_pixels);
  dataset.mean.clear();
  dataset.std.clear();
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sums[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    if (!(variance > 0)) {
      throw DataError(fmt::format("{}: every training pixel of channel {} is alike; there is nothing to learn from",
                                  dataset.name, c));
    }
    dataset.mean.push_back(static_cast<float>(mean / 255));
    dataset.std.push_back(static_cast<float>(std::sqrt(variance) / 255));
  }
}

}  // namespace dnas::engine::data
