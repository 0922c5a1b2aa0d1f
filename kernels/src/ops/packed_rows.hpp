#pragma once

#include "core/v16.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "ops/window_axis.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Source rows of a sliding-window operation, copied into a small scratch so that the inner loops see no borders, no
// strides, no ragged channels: a block of channels of one row lies there as [columns + padding][lanes], and sixteen
// consecutive floats are one vector, that is 1, 2 or 4 neighbouring columns of 16, 8 or 4 channels. A stride s splits
// the columns into s planes (column mod s), in which neighbouring outputs read neighbouring columns again.
//
// The copy costs one load and one store per element, small beside the 9 to 49 multiply-adds that read it, and the
// rows in use stay in the first-level cache.
namespace dnas::kernels {

/// A block of channels and of output columns.
struct Strip {
  static constexpr int max_columns = 32;        ///< outputs in a row
  static constexpr int row_capacity = 96 * 16;  ///< floats
  static constexpr int overhang = 8 * lanes16;  ///< an inner loop may read, never use, this much past a row

  std::int64_t channel = 0;
  int lanes = 16;  ///< channels in scratch: 16, 8 or 4
  int valid = 16;  ///< channels that exist, <= lanes
  std::int64_t column = 0;
  int columns = 0;
  int vectors = 0;         ///< of an output row
  std::int64_t plane = 0;  ///< columns in one plane
  std::int64_t row_floats = 0;
  std::array<std::int64_t, WindowAxis::max_taps> tap_offset{};  ///< floats, per tap of the column axis

  [[nodiscard]] bool full_vector() const noexcept { return valid == lanes16; }
};

/// Lanes for the next block when `left` channels are left.
DNAS_ALWAYS_INLINE int block_lanes(std::int64_t left) {
  return left >= 16 ? 16 : left > 4 ? 8 : 4;
}

/// The most output columns a row of scratch has room for.
DNAS_ALWAYS_INLINE std::int64_t strip_columns(const WindowAxis& cols) {
  const std::int64_t room =
      (Strip::row_capacity - Strip::overhang) / lanes16 / cols.step - (cols.reach - 1) / cols.step - 1;
  const std::int64_t most = std::min<std::int64_t>(Strip::max_columns, room);
  const std::int64_t strips = (cols.outputs + most - 1) / most;
  return strips == 0 ? 0 : (cols.outputs + strips - 1) / strips;
}

DNAS_ALWAYS_INLINE void make_strip(Strip& s, const WindowAxis& cols, std::int64_t column, std::int64_t columns,
                                   std::int64_t channel, std::int64_t channels) {
  s.channel = channel;
  s.lanes = block_lanes(channels - channel);
  s.valid = static_cast<int>(std::min<std::int64_t>(s.lanes, channels - channel));
  s.column = column;
  s.columns = static_cast<int>(std::min(columns, cols.outputs - column));
  s.vectors = (s.columns * s.lanes + lanes16 - 1) / lanes16;
  s.plane = s.columns + (cols.reach - 1) / cols.step;
  s.row_floats = (s.plane * cols.step * s.lanes + lanes16 - 1) / lanes16 * lanes16 + Strip::overhang;
  for (int t = 0; t < cols.taps; ++t) {
    const std::int64_t distance = cols.tap[static_cast<std::size_t>(t)].offset - cols.lowest;
    s.tap_offset[static_cast<std::size_t>(t)] = (distance % cols.step * s.plane + distance / cols.step) * s.lanes;
  }
}

/// Copies `count` pixels of `s.valid` channels.
DNAS_ALWAYS_INLINE void copy_pixels(const Strip& s, float* to, std::int64_t to_stride, const float* from,
                                    std::int64_t from_stride, std::int64_t count) {
  // Copies of known size are single moves.
  for (std::int64_t q = 0; q < count; ++q, to += to_stride, from += from_stride) {
    if (s.valid == 16) {
      std::memcpy(to, from, 16 * sizeof(float));
    } else if (s.valid == 8) {
      std::memcpy(to, from, 8 * sizeof(float));
    } else if (s.valid == 4) {
      std::memcpy(to, from, 4 * sizeof(float));
    } else {
      for (int c = 0; c < s.valid; ++c)
        to[c] = from[c];
    }
  }
}

template <int Channels>
DNAS_ALWAYS_INLINE void add_pixel(float* __restrict to, const float* __restrict from) {
  for (int c = 0; c < Channels; ++c)
    to[c] += from[c];
}

/// Writes or adds the strip's packed output row to pixels `to_stride` apart.
DNAS_ALWAYS_INLINE void store_pixels(const Strip& s, float* to, std::int64_t to_stride, const float* from, bool add) {
  if (!add) {
    copy_pixels(s, to, to_stride, from, s.lanes, s.columns);
    return;
  }
  for (int q = 0; q < s.columns; ++q, to += to_stride, from += s.lanes) {
    if (s.valid == 16) {
      add_pixel<16>(to, from);
    } else if (s.valid == 8) {
      add_pixel<8>(to, from);
    } else if (s.valid == 4) {
      add_pixel<4>(to, from);
    } else {
      for (int c = 0; c < s.valid; ++c)
        to[c] += from[c];
    }
  }
}

/// First channel of the first pixel of a row of an image [N, H, W, C].
DNAS_ALWAYS_INLINE float* image_row(const TensorView& t, std::int64_t image, std::int64_t row) {
  return t.f32() + (image * t.shape[1] + row) * t.shape[2] * t.pixel_stride;
}

/// Where the strip's output row `o` starts.
DNAS_ALWAYS_INLINE float* output_row(const Strip& s, const WindowAxis& rows, const WindowAxis& cols,
                                     const TensorView& t, std::int64_t image, std::int64_t o) {
  return image_row(t, image, rows.out_first + o * rows.out_step) +
         (cols.out_first + s.column * cols.out_step) * t.pixel_stride + s.channel;
}

/// Calls body(strip, fresh) for every strip of an output row. `fresh` says that scratch has to be set up: padding and
/// unused lanes are at the same places in consecutive strips of as many lanes and columns.
template <typename Body>
DNAS_ALWAYS_INLINE void for_each_strip(const WindowAxis& cols, std::int64_t channels, const Body& body) {
  const std::int64_t columns = strip_columns(cols);
  Strip s;
  for (std::int64_t column = 0; column < cols.outputs; column += columns) {
    for (std::int64_t channel = 0; channel < channels; channel += s.lanes) {
      const int lanes_before = channel == 0 ? 0 : s.lanes;
      make_strip(s, cols, column, columns, channel, channels);
      body(s, s.lanes != lanes_before);
    }
  }
}

/// The source columns of one plane of a strip: `first`, `first` + step, ..., `count` of them, from scratch column `at`.
struct PlaneColumns {
  std::int64_t first;
  std::int64_t count;
  std::int64_t at;
};
DNAS_ALWAYS_INLINE PlaneColumns plane_columns(const Strip& s, const WindowAxis& cols, std::int64_t plane) {
  const std::int64_t base = s.column * cols.step + cols.lowest + plane;  // of scratch column 0
  const std::int64_t at = base >= 0 ? 0 : (-base + cols.step - 1) / cols.step;
  const std::int64_t first = base + at * cols.step;
  const std::int64_t room = s.plane - at;
  const std::int64_t present = first < cols.source ? (cols.source - first - 1) / cols.step + 1 : 0;
  return {first, std::max<std::int64_t>(0, std::min(room, present)), s.plane * plane + at};
}

/// Asks for `floats` floats from `first` on, one cache line every `stride`: the row after the one being packed, which
/// is wanted when this one has been worked on. The processor's own prefetching stops at every page. 10 to 15 % of a 3x3
/// or 5x5 pass over 64x32x32x16 (kernels_bench). It may name memory past the tensor, which is no access.
DNAS_ALWAYS_INLINE void prefetch_row(const float* first, std::int64_t stride, std::int64_t floats) {
  for (std::int64_t i = 0; i < floats; i += stride)
    __builtin_prefetch(first + i);
}

/// Copies the strip's columns of one source row; `from` is the row's first pixel, first channel of the tensor.
/// Padding is left as it is.
DNAS_ALWAYS_INLINE void pack_row(const Strip& s, const WindowAxis& cols, float* to, const float* from,
                                 std::int64_t pixel_stride) {
  for (std::int64_t plane = 0; plane < cols.step; ++plane) {
    const PlaneColumns p = plane_columns(s, cols, plane);
    float* target = to + p.at * s.lanes;
    const float* source = from + p.first * pixel_stride + s.channel;
    prefetch_row(source + cols.source * pixel_stride, std::max<std::int64_t>(pixel_stride * cols.step, lanes16),
                 p.count * pixel_stride * cols.step);
    if (cols.step == 1 && pixel_stride == s.lanes && s.valid == s.lanes) {
      std::copy_n(source, p.count * s.lanes, target);
    } else {
      copy_pixels(s, target, s.lanes, source, pixel_stride * cols.step, p.count);
    }
  }
}

/// The rows in scratch that the taps of an output row need; row r of the source is kept in slot r mod slots. Rows are
/// packed one output row ahead: a misaligned load has to wait for recent stores to leave the store buffer.
struct RowRing {
  float* memory = nullptr;
  int slots = 1;
  std::int64_t row_floats = 0;
  std::int64_t next = 0;  ///< first source row not yet packed

  [[nodiscard]] DNAS_ALWAYS_INLINE float* row(std::int64_t source) const {
    return memory + source % slots * row_floats;
  }
  /// Source rows to pack before output row `o` is computed: [next, the result).
  DNAS_ALWAYS_INLINE std::int64_t advance(const WindowAxis& rows, std::int64_t o) {
    next = std::max({next, o * rows.step + rows.lowest, std::int64_t{0}});
    return std::min(rows.source, (o + 1) * rows.step + rows.lowest + rows.reach);
  }
};

/// Room for the ring of one strip.
struct alignas(64) RingMemory {
  float floats[static_cast<std::size_t>(WindowAxis::max_reach + WindowAxis::max_step) * Strip::row_capacity];
};

/// A ring for `s` in which all padding is `pad`.
DNAS_ALWAYS_INLINE RowRing make_ring(RingMemory& memory, const Strip& s, const WindowAxis& rows, float pad) {
  const int slots = rows.reach + static_cast<int>(rows.step);
  std::fill_n(memory.floats, slots * s.row_floats, pad);
  return {memory.floats, slots, s.row_floats, 0};
}

/// The packed source rows of the taps of one output row.
struct TapRows {
  const float* row[WindowAxis::max_taps];
  int first;  ///< tap of the row axis that row[0] belongs to
  int count;
};
DNAS_ALWAYS_INLINE void find_tap_rows(TapRows& taps, const RowRing& ring, const WindowAxis& rows, std::int64_t o) {
  const WindowAxis::Range valid = rows.valid(o);
  taps.first = valid.first;
  taps.count = valid.last - valid.first;
  for (int a = 0; a < taps.count; ++a) {
    taps.row[a] =
        ring.row(o * rows.step + rows.tap[static_cast<std::size_t>(valid.first) + static_cast<std::size_t>(a)].offset);
  }
}

}  // namespace dnas::kernels
