#include "dnas/kernels/softmax.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

// Rows are an edge's candidates or an image's classes: a handful of numbers, so scalar loops in f64 do.
namespace dnas::kernels {
namespace {

constexpr std::int64_t rows_per_piece = 64;

/// Calls body(row) for all rows, on the context's threads.
template <typename Body>
void for_rows(const Context& ctx, std::int64_t rows, const Body& body) {
  parallel_for(ctx, (rows + rows_per_piece - 1) / rows_per_piece, [&](std::int64_t piece) {
    const std::int64_t end = std::min(rows, (piece + 1) * rows_per_piece);
    for (std::int64_t row = piece * rows_per_piece; row < end; ++row)
      body(row);
  });
}

void softmax_row(const float* x, std::int64_t entries, float* p) {
  const float max = *std::max_element(x, x + entries);
  double sum = 0.0;
  for (std::int64_t k = 0; k < entries; ++k)
    sum += std::exp(static_cast<double>(x[k]) - static_cast<double>(max));
  // p may be x: each entry is read once more before it is written, and max is a copy.
  for (std::int64_t k = 0; k < entries; ++k) {
    p[k] = static_cast<float>(std::exp(static_cast<double>(x[k]) - static_cast<double>(max)) / sum);
  }
}

void softmax_backward_row(const float* p, const float* dp, std::int64_t entries, float* dx) {
  double dot = 0.0;
  for (std::int64_t k = 0; k < entries; ++k)
    dot += static_cast<double>(dp[k]) * static_cast<double>(p[k]);
  for (std::int64_t k = 0; k < entries; ++k) {
    dx[k] = static_cast<float>(static_cast<double>(p[k]) * (static_cast<double>(dp[k]) - dot));
  }
}

}  // namespace

void softmax_forward(const Context& ctx, const TensorView& x, const TensorView& p) {
  check::ranked("softmax_forward: x", x, 2);
  check::dense("softmax_forward: x", x, x.shape);
  check::dense("softmax_forward: p", p, x.shape);
  const std::int64_t entries = x.channels();
  if (entries == 0) return;
  for_rows(ctx, x.pixels(),
           [&](std::int64_t row) { softmax_row(x.f32() + row * entries, entries, p.f32() + row * entries); });
}

void softmax_backward(const Context& ctx, const TensorView& p, const TensorView& dp, const TensorView& dx) {
  check::ranked("softmax_backward: p", p, 2);
  check::dense("softmax_backward: p", p, p.shape);
  check::dense("softmax_backward: dp", dp, p.shape);
  check::dense("softmax_backward: dx", dx, p.shape);
  const std::int64_t entries = p.channels();
  if (entries == 0) return;
  for_rows(ctx, p.pixels(), [&](std::int64_t row) {
    softmax_backward_row(p.f32() + row * entries, dp.f32() + row * entries, entries, dx.f32() + row * entries);
  });
}

}  // namespace dnas::kernels
