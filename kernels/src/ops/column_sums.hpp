#pragma once

#include "core/row_walk.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

// Sums per column over the rows of a block: f32 over the block, then added to f64. The caller keeps blocks short.
namespace dnas::kernels {

/// Floats of a block: 16 KiB, so that two tensors share L1 while blocks of columns take turns.
inline constexpr std::int64_t sum_block_floats = 4096;

/// Rows summed in f32: at most 128 terms per sum, however narrow the rows of a channel slice are.
inline constexpr std::int64_t sum_block_rows = 128;

/// Floats of a block in rows of `width`, for RowWalk::for_blocks.
[[nodiscard]] inline std::int64_t sum_block(std::int64_t width) {
  return std::min(sum_block_floats, sum_block_rows * width);
}

/// sum += x - shift, square += (x - shift)^2
void add_moments(ConstRows x, const float* shift, double* sum, double* square, std::int64_t rows, std::int64_t width);

/// sum += x
void add_sums(ConstRows x, double* sum, std::int64_t rows, std::int64_t width);

/// A tensor that meets another in a sum of products.
struct ProductTerm {
  Rows x;
  const float* centre = nullptr;  ///< per column
  double* sum = nullptr;          ///< per column
};

/// Terms that add_products takes at a time.
inline constexpr std::size_t fused_products = 4;

/// sum += g * (x - centre) for `count` terms, 1 to fused_products, of one shape with g.
void add_products(ConstRows g, const ProductTerm* terms, std::size_t count, std::int64_t rows, std::int64_t width);

}  // namespace dnas::kernels
