#pragma once

#include "core/row_walk.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace dnas::kernels {

/// A summand: rows of a tensor and, per column, what is subtracted from them and what the difference is multiplied by.
struct AffineTerm {
  Rows x;
  const float* centre = nullptr;
  const float* scale = nullptr;
};

/// Terms that add_affine_terms takes at a time: their parameters fill the registers, and the processor prefetches so
/// many streams.
inline constexpr std::size_t fused_affine_terms = 4;

/// to = from + offset + sum over `count` terms, 1 to fused_affine_terms, of scale * (x - centre), in order. Subtracting
/// first keeps the digits that a large centre would cost. `from` and `offset` may be null: nothing. `from` and every x
/// may be `to`.
void add_affine_terms(const AffineTerm* terms, std::size_t count, const float* offset, Rows from, Rows to,
                      std::int64_t rows, std::int64_t width);

/// The same for any number of terms: term(k) is the k-th. `between` holds the sum while more terms are to come; it may
/// be `to` if no x is.
template <typename Term>
void affine_sum(std::size_t count, Term&& term, const float* offset, Rows from, Rows between, Rows to,
                std::int64_t rows, std::int64_t width) {
  std::array<AffineTerm, fused_affine_terms> terms;
  for (std::size_t k = 0; k < count; k += fused_affine_terms) {
    const std::size_t now = std::min(fused_affine_terms, count - k);
    for (std::size_t i = 0; i < now; ++i)
      terms[i] = term(k + i);
    const Rows target = k + now < count ? between : to;
    add_affine_terms(terms.data(), now, offset, from, target, rows, width);
    offset = nullptr;
    from = target;
  }
}

/// Per-channel parameters of up to `terms` terms, spread over the columns of a walk, a group of columns at a time: the
/// kernels that use them have no workspace, and the stack holds only so many.
struct ColumnGroups {
  static constexpr std::int64_t floats = 8192;  ///< of one parameter of all terms
  static constexpr std::int64_t widest = 4096;  ///< columns

  std::int64_t stride;  ///< columns of a group, from one term's to the next

  /// @param terms  at most floats / RowWalk::lanes
  explicit ColumnGroups(std::int64_t terms)
      : stride(std::min(widest, floats / terms / RowWalk::lanes * RowWalk::lanes)) {}

  [[nodiscard]] float* of(float* parameter, std::size_t term) const {
    return parameter + static_cast<std::int64_t>(term) * stride;
  }

  /// to[i] = of(channel of column first + i) for `count` columns.
  template <typename Of>
  static void spread(float* to, std::int64_t first, std::int64_t count, std::int64_t channels, Of&& of) {
    const std::int64_t once = std::min(count, channels);
    const std::int64_t begin = first % channels;
    const std::int64_t wrap = std::min(once, channels - begin);
    for (std::int64_t i = 0; i < wrap; ++i)
      to[i] = of(begin + i);
    for (std::int64_t i = wrap; i < once; ++i)
      to[i] = of(i - wrap);
    for (std::int64_t i = once; i < count; ++i)
      to[i] = to[i - channels];
  }
};

}  // namespace dnas::kernels
