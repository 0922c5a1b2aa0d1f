#pragma once

#include "ops/image_planes.hpp"

#include <cstdint>

// The two loops of a depthwise convolution over planes (image_planes.hpp): weighted sums under a window, which are the
// forward pass and the gradient of the data, and sums over all windows, which are the gradient of the weights.
namespace dnas::kernels {

/// The weights [kernel, kernel, C] in the order in which a correlation takes them: [blocks][row taps][column taps][16],
/// repeated over the pixels of a vector.
void pack_taps(const PlaneShape& planes, const WindowAxis& rows, const WindowAxis& columns, const float* w, int kernel,
               float* packed);
[[nodiscard]] inline std::int64_t packed_tap_floats(const PlaneShape& planes, std::int64_t taps) {
  return planes.blocks * taps * lanes16;
}

/// Rows [row, row_end) of the weighted sums of one block.
struct Correlation {
  const TapGrid* taps;
  const float* weights;  ///< of this block
  const float* planes;   ///< of this block
  std::int64_t pitch;    ///< of the planes
  std::int64_t row;
  std::int64_t row_end;
  std::int64_t vectors;       ///< of an output row; the last may end past it
  float* output;              ///< row `row`
  std::int64_t output_pitch;  ///< from row to row
  std::int64_t output_step;   ///< from vector to vector
  bool add;
};
void correlate(const Correlation& c);

/// sums[row tap][column tap][16] += sum over all outputs of gradient * plane value under the tap, lane by lane.
struct TapSums {
  const TapGrid* taps;
  const float* planes;          ///< of one block
  std::int64_t pitch;           ///< of the planes
  const float* gradient;        ///< output (0, 0) of the same block; 0 from a row's end to that of its last vector
  std::int64_t gradient_pitch;  ///< from row to row
  std::int64_t rows;
  std::int64_t vectors;
  float* sums;
};
void sum_taps(const TapSums& t);

}  // namespace dnas::kernels
