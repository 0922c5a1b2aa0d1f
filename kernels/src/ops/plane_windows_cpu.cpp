#include "ops/plane_windows.hpp"

#include <algorithm>
#include <cstddef>

namespace dnas::kernels {
namespace {

DNAS_ALWAYS_INLINE std::int64_t row_tap(const TapGrid& taps, int a) {
  return taps.row[static_cast<std::size_t>(a)];
}
DNAS_ALWAYS_INLINE std::int64_t column_tap(const TapGrid& taps, int b) {
  return taps.column[static_cast<std::size_t>(b)];
}

/// sum[t] += the taps of one plane row, any number of them anywhere.
template <int N, int T>
DNAS_ALWAYS_INLINE void add_any_row(const TapGrid& taps, const float* row, const float* w, V16<N> (&sum)[T]) {
  V16<N> weight;
  for (int b = 0; b < taps.columns; ++b, w += lanes16) {
    const float* x = row + column_tap(taps, b);
    weight.load(w);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      sum[t].multiply_add(weight, x + t * lanes16);
  }
}

/// The same for B taps S vectors apart: every vector of the row is loaded once, for all taps over it.
template <int N, int T, int B, int S>
DNAS_ALWAYS_INLINE void add_even_row(const float* x, const float* w, V16<N> (&sum)[T]) {
  V16<N> value[T + (B - 1) * S];
#pragma GCC unroll 32
  for (int i = 0; i < T + (B - 1) * S; ++i)
    value[i].load(x + i * lanes16);
  V16<N> weight;
#pragma GCC unroll 8
  for (int b = 0; b < B; ++b) {
    weight.load(w + b * lanes16);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      sum[t].multiply_add(weight, value[t + b * S]);
  }
}

/// T vectors of one output row, which only the rows of taps in `rows` hit. B == 0: any taps; else rows of B.
template <int N, int T, int B, int S>
DNAS_ALWAYS_INLINE void correlate_tile(const Correlation& c, const WindowAxis::Range& rows, const float* origin,
                                       int count, float* output) {
  V16<N> sum[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
    sum[t].clear();
  const float* w = c.weights;
  if constexpr (B == 0) {
    for (int a = rows.first; a < rows.last; ++a)
      add_any_row<N, T>(*c.taps, origin + row_tap(*c.taps, a), w + a * c.taps->columns * lanes16, sum);
  } else {
    origin += column_tap(*c.taps, 0);
    if (B == 3 && rows.last - rows.first == 3) {
      // Unrolled, the rows overlap. More than three would not fit the registers.
      w += rows.first * B * lanes16;
#pragma GCC unroll 3
      for (int a = 0; a < 3; ++a)
        add_even_row<N, T, B, S>(origin + row_tap(*c.taps, rows.first + a), w + a * B * lanes16, sum);
    } else {
#pragma GCC unroll 1
      for (int a = rows.first; a < rows.last; ++a)
        add_even_row<N, T, B, S>(origin + row_tap(*c.taps, a), w + a * B * lanes16, sum);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    if (t >= count) break;
    if (c.add) sum[t].add(output + t * c.output_step);
    sum[t].store(output + t * c.output_step);
  }
}

/// A tile may be wider than what is left: the surplus is computed and dropped.
template <int N, int B, int S>
DNAS_ALWAYS_INLINE void correlate_rows(const Correlation& c) {
  float* output = c.output;
  for (std::int64_t row = c.row; row < c.row_end; ++row, output += c.output_pitch) {
    const float* origin = c.planes + row * c.pitch;
    const WindowAxis::Range rows = c.taps->row_axis.valid(row);
    for (std::int64_t at = 0; at < c.vectors;) {
      const auto left = static_cast<int>(c.vectors - at);
      const float* from = origin + at * lanes16;
      float* to = output + at * c.output_step;
      if (V16<N>::tile == 8 && left > 4) {
        correlate_tile<N, 8, B, S>(c, rows, from, left, to);
        at += 8;
      } else if (V16<N>::tile >= 4 && left > 2) {
        correlate_tile<N, 4, B, S>(c, rows, from, left, to);
        at += 4;
      } else {
        correlate_tile<N, 2, B, S>(c, rows, from, left, to);
        at += 2;
      }
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void correlate_body(const Correlation& c) {
  // Only 32 registers hold a row of values besides the sums.
  if constexpr (N == 16) {
    const auto even = [&](int columns, int step) __attribute__((always_inline)) {
      return c.taps->columns == columns && c.taps->spacing == step * lanes16;
    };
    if (even(3, 1)) return correlate_rows<N, 3, 1>(c);
    if (even(3, 2)) return correlate_rows<N, 3, 2>(c);
    if (even(5, 1)) return correlate_rows<N, 5, 1>(c);
    if (even(5, 2)) return correlate_rows<N, 5, 2>(c);
    if (even(7, 1)) return correlate_rows<N, 7, 1>(c);
  }
  correlate_rows<N, 0, 0>(c);
}

/// R rows and B columns of taps: each gradient is loaded once for R * B multiply-adds, and that many independent sums,
/// in registers for the whole image, hide their latency.
template <int N, int R, int B>
DNAS_ALWAYS_INLINE void sum_tile(const TapSums& t, int a, int b) {
  float* sums = t.sums + (a * t.taps->columns + b) * lanes16;
  const std::int64_t tap_row = t.taps->columns * lanes16;
  V16<N> sum[R][B];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < B; ++k)
      sum[r][k].load(sums + r * tap_row + k * lanes16);
  }
  const float* row[R];
  const float* gradient_row = t.gradient;
  V16<N> gradient;
  for (std::int64_t i = 0; i < t.rows; ++i, gradient_row += t.gradient_pitch) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      row[r] = t.planes + i * t.pitch + row_tap(*t.taps, a + r);
    for (std::int64_t at = 0; at < t.vectors * lanes16; at += lanes16) {
      gradient.load(gradient_row + at);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int k = 0; k < B; ++k)
          sum[r][k].multiply_add(gradient, row[r] + column_tap(*t.taps, b + k) + at);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < B; ++k)
      sum[r][k].store(sums + r * tap_row + k * lanes16);
  }
}

/// The rows of taps in groups whose sums fit the registers: at most 25 of 32, or 7 pairs of 16.
template <int N, int B>
DNAS_ALWAYS_INLINE void sum_columns(const TapSums& t, int b) {
  constexpr bool wide = N == 16;
  for (int a = 0; a < t.taps->rows;) {
    const int left = t.taps->rows - a;
    if (wide && B <= 5 && left >= 5) {
      sum_tile<N, 5, B>(t, a, b);
      a += 5;
    } else if (wide && left >= 3) {
      sum_tile<N, 3, B>(t, a, b);
      a += 3;
    } else if ((wide || B <= 3) && left >= 2) {
      sum_tile<N, 2, B>(t, a, b);
      a += 2;
    } else {
      sum_tile<N, 1, B>(t, a, b);
      a += 1;
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void sum_taps_body(const TapSums& t) {
  for (int b = 0; b < t.taps->columns;) {
    const int left = t.taps->columns - b;
    if (left >= 7) {
      sum_columns<N, 7>(t, b);
      b += 7;
    } else if (left >= 5) {
      sum_columns<N, 5>(t, b);
      b += 5;
    } else if (left >= 3) {
      sum_columns<N, 3>(t, b);
      b += 3;
    } else {
      sum_columns<N, 1>(t, b);
      b += 1;
    }
  }
}

}  // namespace

void pack_taps(const PlaneShape& planes, const WindowAxis& rows, const WindowAxis& columns, const float* w, int kernel,
               float* packed) {
  for (std::int64_t block = 0; block < planes.blocks; ++block) {
    const std::int64_t valid = planes.valid_lanes(block);
    for (std::size_t a = 0; a < static_cast<std::size_t>(rows.taps); ++a) {
      for (std::size_t b = 0; b < static_cast<std::size_t>(columns.taps); ++b, packed += lanes16) {
        const int tap = rows.tap[a].index * kernel + columns.tap[b].index;
        const float* from = w + tap * planes.channels + block * planes.lanes;
        std::fill_n(packed, lanes16, 0.0F);
        for (std::int64_t pixel = 0; pixel < lanes16; pixel += planes.lanes)
          std::copy_n(from, valid, packed + pixel);
      }
    }
  }
}

DNAS_ISA_VERSIONS(correlate, correlate_body, (const Correlation& c), (c))

DNAS_ISA_VERSIONS(sum_taps, sum_taps_body, (const TapSums& t), (t))

}  // namespace dnas::kernels
