#include "ops/column_sums.hpp"

#include "core/simd.hpp"

namespace dnas::kernels {
namespace {

template <int Terms>
[[gnu::always_inline]] inline void products_block(ConstRows g, const ProductTerm* terms, std::int64_t rows,
                                                  std::int64_t width) {
  Rows x[Terms];
  for (int t = 0; t < Terms; ++t)
    x[t] = terms[t].x;
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float centre[Terms][lanes];
        float sum[Terms][lanes] = {};
        for (int t = 0; t < Terms; ++t)
          std::copy_n(terms[t].centre + column, int{lanes}, centre[t]);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* gradient = g(row, column);
          const float* in[Terms];
          for (int t = 0; t < Terms; ++t)
            in[t] = x[t](row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            for (int t = 0; t < Terms; ++t)
              sum[t][i] += gradient[i] * (in[t][i] - centre[t][i]);
          }
        }
        for (int t = 0; t < Terms; ++t) {
          double* to = terms[t].sum + column;
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            to[i] += static_cast<double>(sum[t][i]);
        }
      });
}

}  // namespace

DNAS_MULTIVERSION
void add_moments(ConstRows x, const float* shift, double* sum, double* square, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float origin[lanes];
        float s[lanes] = {};
        float q[lanes] = {};
        std::copy_n(shift + column, int{lanes}, origin);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float d = from[i] - origin[i];
            s[i] += d;
            q[i] += d * d;
          }
        }
#pragma omp simd
        for (int i = 0; i < lanes; ++i) {
          sum[column + i] += static_cast<double>(s[i]);
          square[column + i] += static_cast<double>(q[i]);
        }
      });
}

DNAS_MULTIVERSION
void add_sums(ConstRows x, double* sum, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float s[lanes] = {};
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            s[i] += from[i];
        }
#pragma omp simd
        for (int i = 0; i < lanes; ++i)
          sum[column + i] += static_cast<double>(s[i]);
      });
}

DNAS_MULTIVERSION
void add_products(ConstRows g, const ProductTerm* terms, std::size_t count, std::int64_t rows, std::int64_t width) {
  static_assert(fused_products == 4);
  switch (count) {
    case 1:
      return products_block<1>(g, terms, rows, width);
    case 2:
      return products_block<2>(g, terms, rows, width);
    case 3:
      return products_block<3>(g, terms, rows, width);
    default:
      return products_block<4>(g, terms, rows, width);
  }
}

}  // namespace dnas::kernels
