#pragma once

#include "core/v16.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "ops/window_axis.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

// One image, copied into scratch so that sliding windows over it see no borders, no strides and no ragged channels. A
// block of channels lies there as a plane [rows][columns][lanes] with a margin of zeros, and sixteen consecutive floats
// are one vector, that is 1, 2 or 4 neighbouring pixels of 16, 8 or 4 channels. A stride s splits a block into s x s
// phases (row mod s, column mod s), in which neighbouring outputs read neighbouring pixels again.
//
// The planes of an image of 32 x 32 x 16 with a margin of 4 are 100 KiB: several windows and passes read them while
// they are in the second-level cache.
namespace dnas::kernels {

struct PlaneShape {
  /// Floats past the last plane that an inner loop may read, never use.
  static constexpr std::int64_t overhang = 32 * lanes16;

  std::int64_t channels = 0;
  std::int64_t lanes = 16;  ///< 16, 8 or 4
  std::int64_t blocks = 0;
  std::int64_t stride = 1;
  std::int64_t margin = 0;   ///< zeros before the first pixel, in rows and columns
  std::int64_t rows = 0;     ///< of a phase
  std::int64_t columns = 0;  ///< of a phase

  PlaneShape() = default;
  /// @param row_end, column_end  first position past what windows reach
  PlaneShape(std::int64_t channels_, std::int64_t stride_, std::int64_t margin_, std::int64_t row_end,
             std::int64_t column_end)
      : channels(channels_),
        lanes(channels_ <= 4   ? 4
              : channels_ <= 8 ? 8
                               : 16),
        blocks((channels_ + lanes - 1) / lanes),
        stride(stride_),
        margin(margin_),
        rows((margin_ + row_end + stride_ - 1) / stride_),
        // A row is written in whole vectors: past its end there is room for all but one pixel of one.
        columns((margin_ + column_end + stride_ - 1) / stride_ + lanes16 / lanes - 1) {}

  [[nodiscard]] std::int64_t pitch() const noexcept { return columns * lanes; }
  [[nodiscard]] std::int64_t phase_floats() const noexcept { return rows * pitch(); }
  [[nodiscard]] std::int64_t block_floats() const noexcept { return stride * stride * phase_floats(); }
  [[nodiscard]] std::int64_t floats() const noexcept {
    return (blocks * block_floats() + lanes16 - 1) / lanes16 * lanes16 + overhang;
  }
  /// Channels with the unused lanes of the last block.
  [[nodiscard]] std::int64_t padded_channels() const noexcept { return blocks * lanes; }
  /// Of a block, how many lanes hold channels.
  [[nodiscard]] std::int64_t valid_lanes(std::int64_t block) const noexcept {
    return std::min(lanes, channels - block * lanes);
  }

  /// Floats from a block's start to row `row` >= -margin, and from a row's start to column `column` >= -margin.
  [[nodiscard]] std::int64_t row_offset(std::int64_t row) const noexcept {
    const std::int64_t r = row + margin;
    return r % stride * stride * phase_floats() + r / stride * pitch();
  }
  [[nodiscard]] std::int64_t column_offset(std::int64_t column) const noexcept {
    const std::int64_t c = column + margin;
    return c % stride * phase_floats() + c / stride * lanes;
  }
};

/// The taps of a window over planes, as distances from output (0, 0): output (i, j) is i * pitch + j * lanes further.
struct TapGrid {
  WindowAxis row_axis;
  int rows = 0;
  int columns = 0;
  std::array<std::int64_t, WindowAxis::max_taps> row{};
  std::array<std::int64_t, WindowAxis::max_taps> column{};
  /// Floats between neighbouring columns of taps, if they are evenly spaced, else 0.
  std::int64_t spacing = 0;

  TapGrid() = default;
  /// The axes step as the planes do.
  TapGrid(const PlaneShape& planes, const WindowAxis& row_axis_, const WindowAxis& column_axis)
      : row_axis(row_axis_), rows(row_axis.taps), columns(column_axis.taps) {
    for (std::size_t a = 0; a < static_cast<std::size_t>(rows); ++a)
      row[a] = planes.row_offset(row_axis.tap[a].offset);
    for (std::size_t b = 0; b < static_cast<std::size_t>(columns); ++b)
      column[b] = planes.column_offset(column_axis.tap[b].offset);
    if (columns > 1) spacing = column[1] - column[0];
    for (std::size_t b = 1; b < static_cast<std::size_t>(columns); ++b) {
      if (column[b] - column[b - 1] != spacing) spacing = 0;
    }
  }
};

/// What is copied: an image of x, normalised or not, rectified.
struct PlaneSource {
  const float* x;  ///< the image's first pixel
  std::int64_t height;
  std::int64_t width;
  std::int64_t pixel_stride;
  const float* mean;  ///< [padded channels], or null
  const float* rstd;
};

/// planes = relu(x) or relu((x - mean) * rstd); margins and unused lanes are left alone.
void load_planes(const PlaneShape& shape, const PlaneSource& source, float* planes);

/// The inverse, for gradients: dx (+)= gradient where the planes are positive, else 0.
struct PlaneGradient {
  const float* planes;    ///< what load_planes made
  const float* gradient;  ///< in the same places
  float* dx;              ///< the image's first pixel
  std::int64_t height;
  std::int64_t width;
  std::int64_t pixel_stride;
  bool add;
  float* sums;  ///< [2, padded channels], overwritten: of the gradient, and of gradient * planes; or null
};
void store_plane_gradient(const PlaneShape& shape, const PlaneGradient& gradient);

}  // namespace dnas::kernels
