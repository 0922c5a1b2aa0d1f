#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <span>
#include <type_traits>

namespace dnas::kernels {

/// Rows of floats inside a tensor, `stride` floats apart.
struct Rows {
  float* data = nullptr;
  std::int64_t stride = 0;

  [[nodiscard]] float* operator()(std::int64_t row, std::int64_t column) const { return data + row * stride + column; }
};

/// Rows that are only read.
struct ConstRows {
  const float* data = nullptr;
  std::int64_t stride = 0;

  ConstRows(const Rows& rows) : data(rows.data), stride(rows.stride) {}
  [[nodiscard]] const float* operator()(std::int64_t row, std::int64_t column) const {
    return data + row * stride + column;
  }
};

/// How element-wise and per-channel kernels walk f32 tensors of one shape: as `rows` rows of `width` floats and, after
/// the last whole row, `tail` floats of one more, cut into `pieces` of `rows_per_piece` rows by shape alone.
///
/// Dense tensors are flat: a row is a whole number of pixels and at least one vector wide, so that few channels fill
/// vectors too, and column i is always channel i % C. Where a tensor is a channel slice, a row is a pixel.
struct RowWalk {
  /// Floats of the widest column block: two AVX-512 vectors hide the latency of an addition.
  static constexpr int lanes = 32;
  /// Floats of a piece: 64 KiB, large enough to pay for handing it to a thread and small enough to share out.
  static constexpr std::int64_t piece_floats = 16384;

  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t tail = 0;
  std::int64_t rows_per_piece = 1;
  std::int64_t pieces = 0;
  bool flat = false;

  /// For kernels that treat all channels alike.
  static RowWalk over(const Shape& shape, bool dense) { return cut(shape, dense, lanes); }

  /// For kernels with parameters per channel: rows hold whole pixels.
  static RowWalk over_channels(const Shape& shape, bool dense) {
    const std::int64_t channels = TensorView(nullptr, shape).channels();
    if (channels == 0) return {};
    // Widths that are no multiple of 16 would leave every row a ragged end.
    const std::int64_t period = lanes % channels == 0 ? lanes : std::lcm(channels, std::int64_t{16});
    return cut(shape, dense, period);
  }

  /// The rows of `t` from row `first` on.
  [[nodiscard]] Rows rows_of(const TensorView& t, std::int64_t first) const {
    const std::int64_t stride = flat ? width : t.pixel_stride;
    return {t.f32() + first * stride, stride};
  }
  [[nodiscard]] std::int64_t first_row(std::int64_t piece) const { return piece * rows_per_piece; }
  [[nodiscard]] std::int64_t rows_in(std::int64_t piece) const {
    return std::clamp<std::int64_t>(rows - first_row(piece), 0, rows_per_piece);
  }
  /// Floats of the unfinished row, which the last piece takes.
  [[nodiscard]] std::int64_t tail_in(std::int64_t piece) const { return piece + 1 == pieces ? tail : 0; }

  /// Calls block(first row, rows, columns) for blocks of `piece` of at most `floats` floats (at least a row), then for
  /// the unfinished row.
  template <typename Block>
  void for_blocks(std::int64_t piece, std::int64_t floats, Block&& block) const {
    const std::int64_t step = std::max<std::int64_t>(1, floats / width);
    const std::int64_t end = first_row(piece) + rows_in(piece);
    for (std::int64_t row = first_row(piece); row < end; row += step)
      block(row, std::min(step, end - row), width);
    if (tail_in(piece) > 0) block(rows, std::int64_t{1}, tail);
  }

 private:
  static RowWalk cut(const Shape& shape, bool dense, std::int64_t flat_width) {
    RowWalk walk;
    const TensorView t(nullptr, shape);
    if (t.elements() == 0) return walk;
    walk.flat = dense;
    walk.width = dense ? flat_width : t.channels();
    walk.rows = t.elements() / walk.width;
    walk.tail = t.elements() % walk.width;
    walk.rows_per_piece = std::max<std::int64_t>(1, piece_floats / walk.width);
    const std::int64_t rows = walk.rows + (walk.tail > 0 ? 1 : 0);
    walk.pieces = (rows + walk.rows_per_piece - 1) / walk.rows_per_piece;
    return walk;
  }
};

/// Calls body(std::integral_constant<int, L>, column) for blocks of L = 32, 16, 8, 4 or 1 columns that cover [0,
/// width). With L known, a loop over lanes marked `omp simd` becomes straight vector code whose accumulators stay in
/// registers. `body` must be always_inline, to be compiled for the instruction set of its multiversioned caller.
template <typename Body>
[[gnu::always_inline]] inline void for_column_blocks(std::int64_t width, Body&& body) {
  std::int64_t column = 0;
  for (; column + 32 <= width; column += 32)
    body(std::integral_constant<int, 32>{}, column);
  if (column + 16 <= width) {
    body(std::integral_constant<int, 16>{}, column);
    column += 16;
  }
  if (column + 8 <= width) {
    body(std::integral_constant<int, 8>{}, column);
    column += 8;
  }
  if (column + 4 <= width) {
    body(std::integral_constant<int, 4>{}, column);
    column += 4;
  }
  for (; column < width; ++column)
    body(std::integral_constant<int, 1>{}, column);
}

/// Whether none of the tensors is a channel slice; null views do not count.
inline bool all_dense(std::initializer_list<TensorView> tensors) {
  return std::ranges::all_of(tensors, [](const TensorView& t) { return !t || t.dense(); });
}
inline bool all_dense(std::span<const TensorView> tensors) {
  return std::ranges::all_of(tensors, [](const TensorView& t) { return !t || t.dense(); });
}

}  // namespace dnas::kernels
