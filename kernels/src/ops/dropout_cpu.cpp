#include "ops/dropout_cpu.hpp"

#include "core/parallel_for.hpp"
#include "core/philox_words.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"
#include "ops/draws.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

constexpr std::int64_t block = 2048;  // elements drawn for at a time: words and factors stay in the first-level cache

/// What each of `count` elements is multiplied by: `scale`, or 0 if it is dropped.
DNAS_MULTIVERSION
void draw_factors(const Philox& random, std::uint64_t position, std::int64_t count, float rate, float scale,
                  float* factors) {
  for (std::int64_t first = 0; first < count; first += philox_lanes) {
    std::array<std::uint32_t, philox_lanes> words;
    philox_words(random, position + static_cast<std::uint64_t>(first), words);
    // The last lanes may be beyond `count`, for which `factors` has room.
#pragma omp simd
    for (int i = 0; i < philox_lanes; ++i)
      factors[first + i] = Philox::to_unit(words[static_cast<std::size_t>(i)]) >= rate ? scale : 0.0F;
  }
}

/// y (+)= x * factor. What is dropped is 0 even if x is not finite.
template <Write write>
[[gnu::always_inline]] inline void scale_floats(const float* x, const float* factors, float* y, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float kept = factors[i] == 0.0F ? 0.0F : x[i] * factors[i];
    y[i] = write == Write::accumulate ? y[i] + kept : kept;
  }
}

DNAS_MULTIVERSION
void scale_rows(ConstRows x, const float* factors, Rows y, Write write, std::int64_t rows, std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row) {
    if (write == Write::accumulate) {
      scale_floats<Write::accumulate>(x(row, 0), factors + row * width, y(row, 0), width);
    } else {
      scale_floats<Write::overwrite>(x(row, 0), factors + row * width, y(row, 0), width);
    }
  }
}

/// y (+)= x * factor, or 0 for a factor of 0.
DNAS_MULTIVERSION
void scale_image(ConstRows x, float factor, Rows y, Write write, std::int64_t rows, std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x(row, 0);
    float* to = y(row, 0);
    if (factor == 0.0F) {
      if (write == Write::overwrite) std::fill_n(to, width, 0.0F);
      continue;
    }
    if (write == Write::accumulate) {
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i)
        to[i] += from[i] * factor;
      continue;
    }
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i)
      to[i] = from[i] * factor;
  }
}

}  // namespace

void dropout(const Context& ctx, const TensorView& x, float rate, const Draws& draws, const TensorView& y,
             Write write) {
  const RowWalk walk = RowWalk::over(x.shape, all_dense({x, y}));
  const Philox random = generator(draws);
  const std::uint64_t position = first_position(draws);
  const float scale = 1.0F / (1.0F - rate);
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    alignas(64) std::array<float, block + philox_lanes> factors;
    walk.for_blocks(piece, block, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      const Rows from = walk.rows_of(x, row);
      const Rows to = walk.rows_of(y, row);
      // A row that is longer than a block comes alone.
      for (std::int64_t column = 0; column < columns; column += block) {
        const std::int64_t width = std::min(block, columns - column);
        draw_factors(random, position + static_cast<std::uint64_t>(row * walk.width + column), rows * width, rate,
                     scale, factors.data());
        scale_rows(Rows{from(0, column), from.stride}, factors.data(), Rows{to(0, column), to.stride}, write, rows,
                   width);
      }
    });
  });
}

void drop_path(const Context& ctx, const TensorView& x, float rate, const Draws& draws, const TensorView& y,
               Write write) {
  if (x.elements() == 0) return;
  const Philox random = generator(draws);
  const std::uint64_t position = first_position(draws);
  const float scale = 1.0F / (1.0F - rate);
  const Shape image{x.shape[1], x.shape[2], x.shape[3]};
  const RowWalk walk = RowWalk::over(image, all_dense({x, y}));
  const std::int64_t pixels = x.shape[1] * x.shape[2];
  parallel_for(ctx, x.shape[0] * walk.pieces, [&](std::int64_t i) {
    const std::int64_t n = i / walk.pieces;
    const float factor = random.uniform(position + static_cast<std::uint64_t>(n)) >= rate ? scale : 0.0F;
    const TensorView from(x.f32() + n * pixels * x.pixel_stride, image, x.pixel_stride);
    const TensorView to(y.f32() + n * pixels * y.pixel_stride, image, y.pixel_stride);
    walk.for_blocks(i % walk.pieces, RowWalk::piece_floats,
                    [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
                      scale_image(walk.rows_of(from, row), factor, walk.rows_of(to, row), write, rows, columns);
                    });
  });
}

}  // namespace dnas::kernels::cpu
