#include "ops/noise_cpu.hpp"

#include "core/blocks.hpp"
#include "core/parallel_for.hpp"
#include "ops/draws.hpp"
#include "ops/elementwise_cpu.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

constexpr std::int64_t max_blocks = 64;      // partial sums of a deviation, on the stack
constexpr std::int64_t block_floats = 4096;  // elements below which another block is not worth a thread
constexpr std::int64_t draw_floats = 512;    // the same for normal draws, some 20 us

Blocks pixel_blocks(const TensorView& t, std::int64_t floats) {
  return {t.pixels(), std::max<std::int64_t>(1, floats / t.channels())};
}

/// The population standard deviation. Sums of differences from the first element, in f64.
double deviation(const Context& ctx, const TensorView& x) {
  struct Moments {
    double sum = 0.0;
    double squares = 0.0;
  };
  const Blocks blocks = at_most(max_blocks, pixel_blocks(x, block_floats));
  const double shift = *x.f32();
  std::array<Moments, max_blocks> partial;
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    Moments moments;
    for (std::int64_t p = blocks.begin(i); p < blocks.end(i); ++p) {
      const float* pixel = x.f32() + p * x.pixel_stride;
      for (std::int64_t c = 0; c < x.channels(); ++c) {
        const double difference = static_cast<double>(pixel[c]) - shift;
        moments.sum += difference;
        moments.squares += difference * difference;
      }
    }
    partial[static_cast<std::size_t>(i)] = moments;
  });
  Moments total;
  for (std::int64_t i = 0; i < blocks.count(); ++i) {
    total.sum += partial[static_cast<std::size_t>(i)].sum;
    total.squares += partial[static_cast<std::size_t>(i)].squares;
  }
  const auto count = static_cast<double>(x.elements());
  const double mean = total.sum / count;
  const double variance = total.squares / count - mean * mean;
  return std::sqrt(variance < 0.0 ? 0.0 : variance);  // rounding may push it below 0; NaN must stay NaN
}

/// Calls write(pixel, channel, draw) for all elements of y.
template <typename Body>
void for_all_draws(const Context& ctx, const Draws& draws, const TensorView& y, const Body& write) {
  const Philox random = generator(draws);
  const std::uint64_t position = first_position(draws);
  const std::int64_t channels = y.channels();
  const Blocks blocks = pixel_blocks(y, draw_floats);
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    for (std::int64_t p = blocks.begin(i); p < blocks.end(i); ++p) {
      for (std::int64_t c = 0; c < channels; ++c)
        write(p, c, random.normal(position + static_cast<std::uint64_t>(p * channels + c)));
    }
  });
}

}  // namespace

void gaussian_noise(const Context& ctx, const TensorView& x, float factor, const Draws& draws, const TensorView& y) {
  if (x.elements() == 0) return;
  const auto scale = static_cast<float>(static_cast<double>(factor) * deviation(ctx, x));
  if (scale == 0.0F) {
    copy(ctx, x, y, Write::overwrite);
    return;
  }
  for_all_draws(ctx, draws, y, [&](std::int64_t p, std::int64_t c, float draw) {
    y.f32()[p * y.pixel_stride + c] = x.f32()[p * x.pixel_stride + c] + scale * draw;
  });
}

void normal_noise(const Context& ctx, const Draws& draws, const TensorView& y) {
  if (y.elements() == 0) return;
  for_all_draws(ctx, draws, y,
                [&](std::int64_t p, std::int64_t c, float draw) { y.f32()[p * y.pixel_stride + c] = draw; });
}

}  // namespace dnas::kernels::cpu
