#pragma once

#include "core/carver.hpp"
#include "core/gemm.hpp"
#include "dnas/kernels/separable_bundle.hpp"
#include "ops/image_planes.hpp"
#include "ops/plane_windows.hpp"

#include <algorithm>
#include <cstdint>

// What the two passes of a bundle share: the planes of the source, and the tile of depthwise outputs that a pointwise
// product reads while it is in the first-level cache.
namespace dnas::kernels {

/// One past the last source position that the taps of an axis reach.
[[nodiscard]] inline std::int64_t source_end(const WindowAxis& axis) {
  return (axis.outputs - 1) * axis.step + axis.lowest + axis.reach;
}

struct BundleGeometry {
  std::int64_t images, height, width;  ///< of the source
  std::int64_t out_height, out_width;
  PlaneShape planes;

  BundleGeometry(const SeparableBundle& bundle, const Shape& x) : images(x[0]), height(x[1]), width(x[2]) {
    const Shape y = bundle.output_shape(x, 0, 1);
    out_height = y[1];
    out_width = y[2];
    std::int64_t margin = 0;
    std::int64_t row_end = height;
    std::int64_t column_end = width;
    for (const SeparableWindow& w : bundle.windows) {
      const WindowAxis row_axis = rows(bundle, w);
      const WindowAxis column_axis = columns(bundle, w);
      margin = std::max<std::int64_t>({margin, -row_axis.lowest, -column_axis.lowest});
      row_end = std::max(row_end, source_end(row_axis));
      column_end = std::max(column_end, source_end(column_axis));
    }
    planes = PlaneShape(x[3], bundle.stride, margin, row_end, column_end);
  }

  [[nodiscard]] WindowAxis rows(const SeparableBundle& bundle, const SeparableWindow& w) const {
    return trimmed(window_forward(height, out_height, w.kernel, bundle.stride, w.dilation, w.padding));
  }
  [[nodiscard]] WindowAxis columns(const SeparableBundle& bundle, const SeparableWindow& w) const {
    return trimmed(window_forward(width, out_width, w.kernel, bundle.stride, w.dilation, w.padding));
  }
  [[nodiscard]] std::int64_t out_pixels() const { return out_height * out_width; }
  /// Where image n of the source starts.
  [[nodiscard]] PlaneSource image(const BundleSource& source, std::int64_t n, const float* mean,
                                  const float* rstd) const {
    const std::int64_t stride = source.x.pixel_stride;
    return {source.x.f32() + n * height * width * stride, height, width, stride, mean, rstd};
  }
};

/// Rows of depthwise outputs [rows][width][padded channels], each row whole vectors.
struct DepthwiseTile {
  std::int64_t rows;  ///< at most
  std::int64_t width;
  std::int64_t pitch;    ///< floats from row to row
  std::int64_t vectors;  ///< of a block's row
  std::int64_t step;     ///< floats from vector to vector of a block's row

  DepthwiseTile(const PlaneShape& planes, std::int64_t out_height, std::int64_t out_width)
      : width(out_width),
        pitch((out_width * planes.padded_channels() + lanes16 - 1) / lanes16 * lanes16),
        vectors((out_width * planes.lanes + lanes16 - 1) / lanes16),
        step(planes.lanes == lanes16 ? planes.padded_channels() : std::int64_t{lanes16}) {
    constexpr std::int64_t floats = 2048;  // 8 KiB, beside the rows of planes that it is made of
    rows = std::clamp<std::int64_t>(floats / pitch, 1, out_height);
  }
  [[nodiscard]] std::int64_t floats() const { return rows * pitch; }
  /// Whether pixels follow each other without gaps between rows.
  [[nodiscard]] bool gapless(const PlaneShape& planes) const { return pitch == width * planes.padded_channels(); }
};

/// d = the window's sums of all blocks, rows [row, row_end).
inline void correlate_tile(const PlaneShape& planes, const TapGrid& taps, const float* weights, const float* source,
                           const DepthwiseTile& tile, std::int64_t row, std::int64_t row_end, float* d) {
  const std::int64_t taps_floats = std::int64_t{taps.rows} * taps.columns * lanes16;
  for (std::int64_t block = 0; block < planes.blocks; ++block) {
    correlate({&taps, weights + block * taps_floats, source + block * planes.block_floats(), planes.pitch(), row,
               row_end, tile.vectors, d + block * planes.lanes, tile.pitch, tile.step, false});
  }
}

/// Mean and rstd of a normalised source, each [padded channels], for PlaneSource.
struct SourceRows {
  float* mean;
  float* rstd;

  SourceRows(Carver& carver, const PlaneShape& planes)
      : mean(carver.floats(planes.padded_channels())), rstd(carver.floats(planes.padded_channels())) {}
  void fill(const TensorView& normalisation) const {
    const std::int64_t channels = normalisation.channels();
    std::copy_n(normalisation.f32() + mean_row * channels, channels, mean);
    std::copy_n(normalisation.f32() + rstd_row * channels, channels, rstd);
  }
};

}  // namespace dnas::kernels
