#include "ops/elementwise_cpu.hpp"

#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"

#include <algorithm>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

DNAS_MULTIVERSION
void relu_rows(ConstRows x, Rows y, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            to[i] = from[i] < 0.0F ? 0.0F : from[i];  // this way round NaN stays NaN
        }
      });
}

DNAS_MULTIVERSION
void relu6_rows(ConstRows x, Rows y, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float positive = from[i] < 0.0F ? 0.0F : from[i];
            to[i] = positive > 6.0F ? 6.0F : positive;
          }
        }
      });
}

/// What of dy a function passes on where its result is y.
struct Relu {
  [[gnu::always_inline]] static float gradient(float y, float dy) { return y > 0.0F ? dy : 0.0F; }
};
struct Relu6 {
  [[gnu::always_inline]] static float gradient(float y, float dy) { return y > 0.0F && y < 6.0F ? dy : 0.0F; }
};

template <typename Kind, Write write>
[[gnu::always_inline]] inline void relu_backward_block(ConstRows y, ConstRows dy, Rows dx, std::int64_t rows,
                                                       std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* out = y(row, column);
          const float* from = dy(row, column);
          float* to = dx(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float gradient = Kind::gradient(out[i], from[i]);
            to[i] = write == Write::accumulate ? to[i] + gradient : gradient;
          }
        }
      });
}

DNAS_MULTIVERSION
void relu_backward_rows(ConstRows y, ConstRows dy, Rows dx, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    relu_backward_block<Relu, Write::accumulate>(y, dy, dx, rows, width);
  } else {
    relu_backward_block<Relu, Write::overwrite>(y, dy, dx, rows, width);
  }
}

DNAS_MULTIVERSION
void relu6_backward_rows(ConstRows y, ConstRows dy, Rows dx, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    relu_backward_block<Relu6, Write::accumulate>(y, dy, dx, rows, width);
  } else {
    relu_backward_block<Relu6, Write::overwrite>(y, dy, dx, rows, width);
  }
}

template <Write write>
[[gnu::always_inline]] inline void copy_block(ConstRows x, Rows y, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            to[i] = write == Write::accumulate ? to[i] + from[i] : from[i];
        }
      });
}

DNAS_MULTIVERSION
void copy_rows(ConstRows x, Rows y, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    copy_block<Write::accumulate>(x, y, rows, width);
  } else {
    copy_block<Write::overwrite>(x, y, rows, width);
  }
}

/// Calls block(first row, rows, columns) over the whole walk, piece by piece on the context's threads.
template <typename Block>
void for_all_blocks(const Context& ctx, const RowWalk& walk, const Block& block) {
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) { walk.for_blocks(piece, RowWalk::piece_floats, block); });
}

}  // namespace

void relu_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  const RowWalk walk = RowWalk::over(x.shape, all_dense({x, y}));
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    relu_rows(walk.rows_of(x, row), walk.rows_of(y, row), rows, columns);
  });
}

void relu_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write) {
  const RowWalk walk = RowWalk::over(y.shape, all_dense({y, dy, dx}));
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    relu_backward_rows(walk.rows_of(y, row), walk.rows_of(dy, row), walk.rows_of(dx, row), write, rows, columns);
  });
}

void relu6_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  const RowWalk walk = RowWalk::over(x.shape, all_dense({x, y}));
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    relu6_rows(walk.rows_of(x, row), walk.rows_of(y, row), rows, columns);
  });
}

void relu6_backward(const Context& ctx, const TensorView& y, const TensorView& dy, const TensorView& dx, Write write) {
  const RowWalk walk = RowWalk::over(y.shape, all_dense({y, dy, dx}));
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    relu6_backward_rows(walk.rows_of(y, row), walk.rows_of(dy, row), walk.rows_of(dx, row), write, rows, columns);
  });
}

void copy(const Context& ctx, const TensorView& x, const TensorView& y, Write write) {
  const RowWalk walk = RowWalk::over(x.shape, all_dense({x, y}));
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    copy_rows(walk.rows_of(x, row), walk.rows_of(y, row), write, rows, columns);
  });
}

void fill(const Context& ctx, float value, const TensorView& y) {
  const RowWalk walk = RowWalk::over(y.shape, y.dense());
  for_all_blocks(ctx, walk, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
    const Rows to = walk.rows_of(y, row);
    for (std::int64_t i = 0; i < rows; ++i)
      std::fill_n(to(i, 0), columns, value);
  });
}

}  // namespace dnas::kernels::cpu
