#include "ops/weighted_sum_cpu.hpp"

#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

// All three passes are bound by memory: the K big tensors are streamed once, while the block of y or dy that they meet
// stays in L1.
namespace dnas::kernels::cpu {
namespace {

/// Floats of the block of y or dy: 16 KiB, a third of L1. Each term is then read in runs long enough for the
/// prefetcher.
constexpr std::int64_t block_floats = 4096;

/// Terms added per visit of y's block.
constexpr std::size_t fused_terms = 4;

/// One term of the sum: a block of x_k and its weight.
struct Term {
  Rows x;
  float weight = 0.0F;
};

/// y (+)= sum of four terms, in order. Overwriting must not read y, which may hold anything.
template <Write write>
[[gnu::always_inline]] inline void four_terms_block(const std::array<Term, fused_terms>& terms, Rows y,
                                                    std::int64_t rows, std::int64_t width) {
  // Copies in locals, which no write to y can change: the weights stay in registers.
  const Term term_a = terms[0];
  const Term term_b = terms[1];
  const Term term_c = terms[2];
  const Term term_d = terms[3];
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* a = term_a.x(row, column);
          const float* b = term_b.x(row, column);
          const float* c = term_c.x(row, column);
          const float* d = term_d.x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            float sum = term_a.weight * a[i];
            if (write == Write::accumulate) sum += to[i];
            sum += term_b.weight * b[i];
            sum += term_c.weight * c[i];
            sum += term_d.weight * d[i];
            to[i] = sum;
          }
        }
      });
}

DNAS_MULTIVERSION
void add_four_terms(const std::array<Term, fused_terms>& terms, Rows y, Write write, std::int64_t rows,
                    std::int64_t width) {
  if (write == Write::accumulate) {
    four_terms_block<Write::accumulate>(terms, y, rows, width);
  } else {
    four_terms_block<Write::overwrite>(terms, y, rows, width);
  }
}

template <Write write>
[[gnu::always_inline]] inline void scale_block(ConstRows x, float weight, Rows y, std::int64_t rows,
                                               std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            to[i] = write == Write::accumulate ? to[i] + weight * from[i] : weight * from[i];
          }
        }
      });
}

/// y (+)= weight * x.
DNAS_MULTIVERSION
void scale_rows(ConstRows x, float weight, Rows y, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    scale_block<Write::accumulate>(x, weight, y, rows, width);
  } else {
    scale_block<Write::overwrite>(x, weight, y, rows, width);
  }
}

/// Sum of dy * x: f32 per lane over the block, then f64.
DNAS_MULTIVERSION
double dot(ConstRows dy, ConstRows x, std::int64_t rows, std::int64_t width) {
  double total = 0.0;
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float sum[lanes] = {};
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* a = dy(row, column);
          const float* b = x(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            sum[i] += a[i] * b[i];
        }
        for (int i = 0; i < lanes; ++i)
          total += static_cast<double>(sum[i]);
      });
  return total;
}

float weight_of(const TensorView& w, std::int32_t index) {
  return w.f32()[index];
}

/// The first terms to arrive overwrite y.
Write write_of_term(std::size_t k) {
  return k == 0 ? Write::overwrite : Write::accumulate;
}

/// Whether `tensors`, null views aside, and `t` are all dense.
bool all_dense_with(std::span<const TensorView> tensors, const TensorView& t) {
  return t.dense() && std::ranges::all_of(tensors, [](const TensorView& x) { return !x || x.dense(); });
}

}  // namespace

void weighted_sum_forward(const Context& ctx, std::span<const TensorView> x, std::span<const std::int32_t> index,
                          const TensorView& w, const TensorView& y) {
  const RowWalk walk = RowWalk::over(y.shape, all_dense_with(x, y));
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    walk.for_blocks(piece, block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      const Rows to = walk.rows_of(y, row);
      std::size_t k = 0;
      for (; k + fused_terms <= x.size(); k += fused_terms) {
        std::array<Term, fused_terms> terms;
        for (std::size_t i = 0; i < fused_terms; ++i) {
          terms[i] = {walk.rows_of(x[k + i], row), weight_of(w, index[k + i])};
        }
        add_four_terms(terms, to, write_of_term(k), rows, columns);
      }
      for (; k < x.size(); ++k) {
        scale_rows(walk.rows_of(x[k], row), weight_of(w, index[k]), to, write_of_term(k), rows, columns);
      }
    });
  });
}

void weighted_sum_backward_data(const Context& ctx, std::span<const std::int32_t> index, const TensorView& w,
                                const TensorView& dy, std::span<const TensorView> dx, std::span<const Write> write) {
  const RowWalk walk = RowWalk::over(dy.shape, all_dense_with(dx, dy));
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    walk.for_blocks(piece, block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      for (std::size_t k = 0; k < dx.size(); ++k) {
        if (!dx[k]) continue;
        scale_rows(walk.rows_of(dy, row), weight_of(w, index[k]), walk.rows_of(dx[k], row), write[k], rows, columns);
      }
    });
  });
}

std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms) {
  // A slice is walked in other rows than a dense tensor; the answer is for both.
  const std::int64_t pieces = std::max(RowWalk::over(x, true).pieces, RowWalk::over(x, false).pieces);
  return static_cast<std::size_t>(pieces) * terms * sizeof(double);
}

void weighted_sum_backward_weights(const Context& ctx, std::span<const TensorView> x,
                                   std::span<const std::int32_t> index, const TensorView& dy, const TensorView& dw,
                                   std::span<std::byte> workspace) {
  const RowWalk walk = RowWalk::over(dy.shape, all_dense_with(x, dy));
  auto* partial = reinterpret_cast<double*>(workspace.data());  // [pieces, K]
  const std::size_t terms = x.size();
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    double* sums = partial + static_cast<std::size_t>(piece) * terms;
    std::fill_n(sums, terms, 0.0);
    walk.for_blocks(piece, block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      for (std::size_t k = 0; k < terms; ++k) {
        sums[k] += dot(walk.rows_of(dy, row), walk.rows_of(x[k], row), rows, columns);
      }
    });
  });
  for (std::size_t k = 0; k < terms; ++k) {
    double total = 0.0;
    for (std::int64_t piece = 0; piece < walk.pieces; ++piece)
      total += partial[static_cast<std::size_t>(piece) * terms + k];
    float& target = dw.f32()[index[k]];
    target = static_cast<float>(static_cast<double>(target) + total);
  }
}

}  // namespace dnas::kernels::cpu
