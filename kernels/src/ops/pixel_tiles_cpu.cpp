#include "core/batch_moments.hpp"
#include "core/v16.hpp"
#include "ops/pixel_tiles.hpp"

#include <algorithm>

namespace dnas::kernels {
namespace {

/// How a tile is cut into vectors: whole pixels of few channels side by side, or 16 channels of a pixel.
DNAS_ALWAYS_INLINE bool side_by_side(const PixelTile& t) {
  return t.channels < lanes16 && lanes16 % t.channels == 0 && t.pixel_stride == t.channels;
}

/// A row of parameters, repeated over the pixels of a vector.
template <int N>
DNAS_ALWAYS_INLINE void load_repeated(V16<N>& to, const float* from, std::int64_t channels) {
  alignas(64) float lanes[lanes16];
  for (std::int64_t i = 0; i < lanes16; ++i)
    lanes[i] = from[i % channels];
  to.load(lanes);
}

template <int N>
struct MomentSums {
  static constexpr int ways = 4;  // independent sums hide the latency of an addition
  V16<N> shift;
  V16<N> sum[ways];
  V16<N> square[ways];

  DNAS_ALWAYS_INLINE void clear() {
    for (int i = 0; i < ways; ++i) {
      sum[i].clear();
      square[i].clear();
    }
  }
  DNAS_ALWAYS_INLINE void add_vector(int way, const float* y) {
    V16<N> v;
    v.load(y);
    v.subtract(shift);
    for (int i = 0; i < V16<N>::parts; ++i)
      sum[way].part[i] += v.part[i];
    square[way].multiply_add(v, v);
  }
  DNAS_ALWAYS_INLINE void add(const float* y, std::int64_t step, std::int64_t vectors) {
    std::int64_t i = 0;
    for (; i + ways <= vectors; i += ways) {
#pragma GCC unroll 4
      for (int way = 0; way < ways; ++way)
        add_vector(way, y + (i + way) * step);
    }
    for (; i < vectors; ++i)
      add_vector(0, y + i * step);
  }
  DNAS_ALWAYS_INLINE void store(float* sums, float* squares) {
    for (int way = 1; way < ways; ++way) {
      for (int i = 0; i < V16<N>::parts; ++i) {
        sum[0].part[i] += sum[way].part[i];
        square[0].part[i] += square[way].part[i];
      }
    }
    sum[0].store(sums);
    square[0].store(squares);
  }
};

DNAS_ALWAYS_INLINE void add_moments_plain(const PixelTile& y, std::int64_t first, std::int64_t pixel, float* moments) {
  for (; pixel < y.pixels; ++pixel) {
    for (std::int64_t c = first; c < y.channels; ++c) {
      const float v = y.first[pixel * y.pixel_stride + c] - moments[shift_row * y.channels + c];
      moments[sum_row * y.channels + c] += v;
      moments[square_row * y.channels + c] += v * v;
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void add_moments_body(const PixelTile& y, float* moments) {
  alignas(64) float sum[lanes16];
  alignas(64) float square[lanes16];
  MomentSums<N> sums;
  const auto add_up = [&](std::int64_t c) __attribute__((always_inline)) {
    sums.store(sum, square);
    const std::int64_t width = std::min<std::int64_t>(lanes16, y.channels);
    for (std::int64_t i = 0; i < lanes16; ++i) {
      moments[sum_row * y.channels + c + i % width] += sum[i];
      moments[square_row * y.channels + c + i % width] += square[i];
    }
  };
  if (side_by_side(y)) {
    const std::int64_t vectors = y.pixels * y.channels / lanes16;
    sums.clear();
    load_repeated(sums.shift, moments + shift_row * y.channels, y.channels);
    sums.add(y.first, lanes16, vectors);
    add_up(0);
    add_moments_plain(y, 0, vectors * lanes16 / y.channels, moments);
    return;
  }
  std::int64_t c = 0;
  for (; c + lanes16 <= y.channels; c += lanes16) {
    sums.clear();
    sums.shift.load(moments + shift_row * y.channels + c);
    sums.add(y.first + c, y.pixel_stride, y.pixels);
    add_up(c);
  }
  if (c < y.channels) add_moments_plain(y, c, 0, moments);
}

DNAS_ALWAYS_INLINE void ask_for(const PixelTile& t, std::int64_t pixel, std::int64_t channel) {
  // Without a next tile this asks for memory that nobody has, which is no access.
  __builtin_prefetch(t.next + pixel * t.next_stride + channel, 0, 2);
}

template <int N>
struct GradientRows {
  V16<N> scale, slope, mean, offset;

  DNAS_ALWAYS_INLINE void apply(const float* g, const float* y, float* dy) const {
    V16<N> value;
    V16<N> result = offset;
    value.load(y);
    value.subtract(mean);
    result.multiply_add(slope, value);
    result.multiply_add(scale, g);
    result.store(dy);
  }
};

DNAS_ALWAYS_INLINE void form_gradient_plain(const PixelTile& g, const PixelTile& y, const float* rows,
                                            std::int64_t first, std::int64_t pixel, float* dy) {
  const std::int64_t channels = y.channels;
  for (; pixel < y.pixels; ++pixel) {
    for (std::int64_t c = first; c < channels; ++c) {
      const float value = y.first[pixel * y.pixel_stride + c] - rows[centre_row * channels + c];
      dy[pixel * channels + c] = rows[scale_row * channels + c] * g.first[pixel * g.pixel_stride + c] +
                                 rows[slope_row * channels + c] * value + rows[offset_row * channels + c];
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void form_gradient_body(const PixelTile& g, const PixelTile& y, const float* rows, float* dy) {
  const std::int64_t channels = y.channels;
  GradientRows<N> r;
  if (side_by_side(y) && side_by_side(g)) {
    load_repeated(r.scale, rows + scale_row * channels, channels);
    load_repeated(r.slope, rows + slope_row * channels, channels);
    load_repeated(r.mean, rows + centre_row * channels, channels);
    load_repeated(r.offset, rows + offset_row * channels, channels);
    const std::int64_t vectors = y.pixels * channels / lanes16;
    for (std::int64_t i = 0; i < vectors * lanes16; i += lanes16) {
      ask_for(g, 0, i);
      ask_for(y, 0, i);
      r.apply(g.first + i, y.first + i, dy + i);
    }
    form_gradient_plain(g, y, rows, 0, vectors * lanes16 / channels, dy);
    return;
  }
  std::int64_t c = 0;
  for (; c + lanes16 <= channels; c += lanes16) {
    r.scale.load(rows + scale_row * channels + c);
    r.slope.load(rows + slope_row * channels + c);
    r.mean.load(rows + centre_row * channels + c);
    r.offset.load(rows + offset_row * channels + c);
    for (std::int64_t p = 0; p < y.pixels; ++p) {
      ask_for(g, p, c);
      ask_for(y, p, c);
      r.apply(g.first + p * g.pixel_stride + c, y.first + p * y.pixel_stride + c, dy + p * channels + c);
    }
  }
  if (c < channels) form_gradient_plain(g, y, rows, c, 0, dy);
}

}  // namespace

DNAS_ISA_VERSIONS(add_moments, add_moments_body, (const PixelTile& y, float* moments), (y, moments))

DNAS_ISA_VERSIONS(form_gradient, form_gradient_body,
                  (const PixelTile& g, const PixelTile& y, const float* gradient, float* dy), (g, y, gradient, dy))

}  // namespace dnas::kernels
