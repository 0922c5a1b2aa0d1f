#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"
#include "ops/batch_norm_cpu.hpp"
#include "ops/column_sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

/// dx (+)= scale * dy
template <Write write>
[[gnu::always_inline]] inline void scale_block(ConstRows dy, const float* scale, Rows dx, std::int64_t rows,
                                               std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float s[lanes];
        std::copy_n(scale + column, int{lanes}, s);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = dy(row, column);
          float* to = dx(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float d = s[i] * from[i];
            to[i] = write == Write::accumulate ? to[i] + d : d;
          }
        }
      });
}

DNAS_MULTIVERSION
void scale_rows(ConstRows dy, const float* scale, Rows dx, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    scale_block<Write::accumulate>(dy, scale, dx, rows, width);
  } else {
    scale_block<Write::overwrite>(dy, scale, dx, rows, width);
  }
}

/// The same for every column of a channel.
void spread(std::int64_t channels, std::int64_t width, float* columns) {
  for (std::int64_t i = channels; i < width; ++i)
    columns[i] = columns[i - channels];
}

/// Sum of a channel's columns of all pieces, [pieces, 2, width], in order.
double channel_sum(const double* sums, const RowWalk& walk, std::int64_t which, std::int64_t channels, std::int64_t c) {
  double total = 0.0;
  for (std::int64_t piece = 0; piece < walk.pieces; ++piece) {
    const double* columns = sums + (piece * 2 + which) * walk.width;
    for (std::int64_t i = c; i < walk.width; i += channels)
      total += columns[i];
  }
  return total;
}

}  // namespace

void batch_norm_inference_backward(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                                   const TensorView& gamma, const TensorView& running_mean,
                                   const TensorView& running_var, const TensorView& dy, const TensorView& dx,
                                   Write write_dx, const TensorView& dgamma, const TensorView& dbeta,
                                   std::span<std::byte> workspace) {
  const std::int64_t channels = dy.channels();
  const RowWalk walk = RowWalk::over_channels(dy.shape, all_dense({x, dy, dx}));
  // Less than batch_norm_workspace has for the pass through batch statistics: two of three sums, two of four rows.
  auto* sums = reinterpret_cast<double*>(workspace.data());
  auto* centre = reinterpret_cast<float*>(sums + walk.pieces * 2 * walk.width);
  float* scale = centre + walk.width;
  const auto rstd = [&](std::int64_t c) {
    return 1.0 / std::sqrt(static_cast<double>(running_var.f32()[c]) + static_cast<double>(bn.epsilon));
  };

  if (dgamma || dbeta) {  // before dx, which may overwrite dy
    std::copy_n(running_mean.f32(), channels, centre);
    spread(channels, walk.width, centre);
    parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
      double* of_dy = sums + piece * 2 * walk.width;
      double* of_products = of_dy + walk.width;
      std::fill_n(of_dy, 2 * walk.width, 0.0);
      walk.for_blocks(piece, sum_block(walk.width), [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
        const Rows g = walk.rows_of(dy, row);
        add_sums(g, of_dy, rows, columns);
        if (!dgamma) return;
        const ProductTerm term{walk.rows_of(x, row), centre, of_products};
        add_products(g, &term, 1, rows, columns);
      });
    });
    for (std::int64_t c = 0; c < channels; ++c) {
      if (dbeta) dbeta.f32()[c] = static_cast<float>(channel_sum(sums, walk, 0, channels, c));
      if (dgamma) dgamma.f32()[c] = static_cast<float>(channel_sum(sums, walk, 1, channels, c) * rstd(c));
    }
  }
  if (!dx) return;

  for (std::int64_t c = 0; c < channels; ++c)
    scale[c] = static_cast<float>((gamma ? static_cast<double>(gamma.f32()[c]) : 1.0) * rstd(c));
  spread(channels, walk.width, scale);
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    walk.for_blocks(piece, sum_block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      scale_rows(walk.rows_of(dy, row), scale, walk.rows_of(dx, row), write_dx, rows, columns);
    });
  });
}

}  // namespace dnas::kernels::cpu
