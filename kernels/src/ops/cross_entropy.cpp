#include "dnas/kernels/cross_entropy.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace dnas::kernels {
namespace {

/// Most pieces the batch is cut into; their partial losses are on the stack.
constexpr std::int64_t max_pieces = 64;
/// Rows below which another piece is not worth a thread.
constexpr std::int64_t min_rows = 16;

std::int64_t rows_per_piece(std::int64_t rows) {
  return std::max(min_rows, (rows + max_pieces - 1) / max_pieces);
}

/// -sum_k target[k] * log p[k] of one row in f64; writes p.
double row_loss(const float* logits, std::int64_t classes, std::int64_t label, double smoothing, float* p) {
  const double max = *std::max_element(logits, logits + classes);
  double sum = 0.0;
  double sum_of_logits = 0.0;  // above the largest
  for (std::int64_t k = 0; k < classes; ++k) {
    const double above = static_cast<double>(logits[k]) - max;
    sum += std::exp(above);
    sum_of_logits += above;
  }
  for (std::int64_t k = 0; k < classes; ++k) {
    p[k] = static_cast<float>(std::exp(static_cast<double>(logits[k]) - max) / sum);
  }
  if (label < 0 || label >= classes) return std::numeric_limits<double>::quiet_NaN();
  // log p[k] = logits[k] - max - log(sum): no logarithm of a probability that underflowed.
  const double log_sum = std::log(sum);
  const double label_term = static_cast<double>(logits[label]) - max - log_sum;
  if (smoothing == 0.0) return -label_term;  // an infinitely unlikely other class must not turn 0 * inf into NaN
  return -(1.0 - smoothing) * label_term - smoothing * (sum_of_logits / static_cast<double>(classes) - log_sum);
}

void check_batch(std::string_view operation, std::string_view name, const TensorView& t, const TensorView& labels,
                 float smoothing) {
  const check::Where where(operation, name);
  check::ranked(where, t, 2);
  check::dense(where, t, t.shape);
  if (t.elements() == 0) {
    throw ShapeError(
        fmt::format("{} is {}, expected at least one row and one class", where.text(), t.shape.to_string()));
  }
  check::dense({operation, "labels"}, labels, Shape{t.shape[0]}, DType::i64);
  if (!(smoothing >= 0.0F && smoothing < 1.0F)) {
    throw ConfigError(fmt::format("{}: smoothing is {}, expected a value in [0, 1)", operation, smoothing));
  }
}

}  // namespace

void cross_entropy_forward(const Context& ctx, const TensorView& logits, const TensorView& labels, float smoothing,
                           const TensorView& loss, const TensorView& p) {
  check_batch("cross_entropy_forward", "logits", logits, labels, smoothing);
  check::dense("cross_entropy_forward: loss", loss, Shape{1});
  check::dense("cross_entropy_forward: p", p, logits.shape);
  const std::int64_t rows = logits.shape[0];
  const std::int64_t classes = logits.shape[1];
  const std::int64_t step = rows_per_piece(rows);
  const std::int64_t pieces = (rows + step - 1) / step;
  std::array<double, max_pieces> partial{};
  parallel_for(ctx, pieces, [&](std::int64_t piece) {
    double sum = 0.0;
    for (std::int64_t row = piece * step; row < std::min(rows, (piece + 1) * step); ++row) {
      sum += row_loss(logits.f32() + row * classes, classes, labels.i64()[row], static_cast<double>(smoothing),
                      p.f32() + row * classes);
    }
    partial[static_cast<std::size_t>(piece)] = sum;
  });
  double total = 0.0;
  for (std::int64_t piece = 0; piece < pieces; ++piece)
    total += partial[static_cast<std::size_t>(piece)];
  loss.f32()[0] = static_cast<float>(total / static_cast<double>(rows));
}

void cross_entropy_backward(const Context& ctx, const TensorView& p, const TensorView& labels, float smoothing,
                            const TensorView& dlogits) {
  check_batch("cross_entropy_backward", "p", p, labels, smoothing);
  check::dense("cross_entropy_backward: dlogits", dlogits, p.shape);
  const std::int64_t rows = p.shape[0];
  const std::int64_t classes = p.shape[1];
  const std::int64_t step = rows_per_piece(rows);
  const float scale = 1.0F / static_cast<float>(rows);
  const float others = smoothing / static_cast<float>(classes);
  parallel_for(ctx, (rows + step - 1) / step, [&](std::int64_t piece) {
    for (std::int64_t row = piece * step; row < std::min(rows, (piece + 1) * step); ++row) {
      const float* from = p.f32() + row * classes;
      float* to = dlogits.f32() + row * classes;
      const std::int64_t label = labels.i64()[row];
      for (std::int64_t k = 0; k < classes; ++k) {
        const float target = k == label ? 1.0F - smoothing + others : others;
        to[k] = (from[k] - target) * scale;
      }
    }
  });
}

}  // namespace dnas::kernels
