#include "ops/bias_cpu.hpp"

#include "core/blocks.hpp"
#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"
#include "ops/column_sums.hpp"

#include <algorithm>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

DNAS_MULTIVERSION
void add_bias(ConstRows x, const float* b, Rows y, std::int64_t pixels, std::int64_t channels) {
  for_column_blocks(
      channels, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float bias[lanes];
        std::copy_n(b + column, int{lanes}, bias);
        for (std::int64_t p = 0; p < pixels; ++p) {
          const float* from = x(p, column);
          float* to = y(p, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            to[i] = from[i] + bias[i];
        }
      });
}

}  // namespace

void bias_forward(const Context& ctx, const TensorView& x, const TensorView& b, const TensorView& y) {
  if (x.elements() == 0) return;
  const std::int64_t channels = x.channels();
  const Blocks blocks{x.pixels(), std::max<std::int64_t>(1, RowWalk::piece_floats / channels)};
  parallel_for(ctx, blocks.count(), [&](std::int64_t i) {
    const std::int64_t p = blocks.begin(i);
    add_bias(Rows{x.f32() + p * x.pixel_stride, x.pixel_stride}, b.f32(),
             Rows{y.f32() + p * y.pixel_stride, y.pixel_stride}, blocks.end(i) - p, channels);
  });
}

std::size_t bias_workspace(const Shape& dy) {
  // A slice is walked in other rows than a dense tensor; the answer is for both.
  const auto bytes = [&](bool dense) {
    const RowWalk walk = RowWalk::over_channels(dy, dense);
    return static_cast<std::size_t>(walk.pieces * walk.width) * sizeof(double);
  };
  return std::max(bytes(true), bytes(false));
}

void bias_backward(const Context& ctx, const TensorView& dy, const TensorView& db, Write write, double* workspace) {
  const RowWalk walk = RowWalk::over_channels(dy.shape, dy.dense());
  const std::int64_t channels = dy.channels();
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    double* sums = workspace + piece * walk.width;
    std::fill_n(sums, walk.width, 0.0);
    walk.for_blocks(piece, sum_block(walk.width), [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      add_sums(walk.rows_of(dy, row), sums, rows, columns);
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0.0;
    for (std::int64_t i = c; i < walk.pieces * walk.width; i += channels)
      sum += workspace[i];
    const auto rounded = static_cast<float>(sum);
    float& to = db.f32()[c];
    to = write == Write::accumulate ? to + rounded : rounded;
  }
}

}  // namespace dnas::kernels::cpu
