#include "ops/affine_sum.hpp"

#include "core/simd.hpp"

#include <algorithm>
#include <cstddef>

namespace dnas::kernels {
namespace {

template <int Terms, bool has_from>
[[gnu::always_inline]] inline void sum_block(const AffineTerm* terms, const float* offset, Rows from, Rows to,
                                             std::int64_t rows, std::int64_t width) {
  Rows x[Terms];
  for (int t = 0; t < Terms; ++t)
    x[t] = terms[t].x;
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        // Copies in locals, which no write to `to` can change: they stay in registers.
        float start[lanes] = {};
        float centre[Terms][lanes];
        float scale[Terms][lanes];
        if (offset != nullptr) std::copy_n(offset + column, int{lanes}, start);
        for (int t = 0; t < Terms; ++t) {
          std::copy_n(terms[t].centre + column, int{lanes}, centre[t]);
          std::copy_n(terms[t].scale + column, int{lanes}, scale[t]);
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* in[Terms];
          for (int t = 0; t < Terms; ++t)
            in[t] = x[t](row, column);
          const float* before = has_from ? from(row, column) : nullptr;
          float* out = to(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            float sum = has_from ? before[i] + start[i] : start[i];
            for (int t = 0; t < Terms; ++t)
              sum += scale[t][i] * (in[t][i] - centre[t][i]);
            out[i] = sum;
          }
        }
      });
}

template <bool has_from>
[[gnu::always_inline]] inline void sum_terms(const AffineTerm* terms, std::size_t count, const float* offset, Rows from,
                                             Rows to, std::int64_t rows, std::int64_t width) {
  static_assert(fused_affine_terms == 4);
  switch (count) {
    case 1:
      return sum_block<1, has_from>(terms, offset, from, to, rows, width);
    case 2:
      return sum_block<2, has_from>(terms, offset, from, to, rows, width);
    case 3:
      return sum_block<3, has_from>(terms, offset, from, to, rows, width);
    default:
      return sum_block<4, has_from>(terms, offset, from, to, rows, width);
  }
}

}  // namespace

DNAS_MULTIVERSION
void add_affine_terms(const AffineTerm* terms, std::size_t count, const float* offset, Rows from, Rows to,
                      std::int64_t rows, std::int64_t width) {
  if (from.data != nullptr) {
    sum_terms<true>(terms, count, offset, from, to, rows, width);
  } else {
    sum_terms<false>(terms, count, offset, from, to, rows, width);
  }
}

}  // namespace dnas::kernels
