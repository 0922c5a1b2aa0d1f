#include "dnas/kernels/optimizer_step.hpp"

#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace dnas::kernels {
namespace {

/// Floats handed to a thread at a time: 64 KiB of each array.
constexpr std::int64_t piece_floats = 16384;
/// Partial sums of squared_norm, on the stack.
constexpr std::int64_t max_partials = 64;

void check_length(std::string_view operation, std::string_view name, std::size_t length, std::size_t expected) {
  if (length != expected) {
    throw ShapeError(fmt::format("{}: {} has {} elements, expected {}", operation, name, length, expected));
  }
}

/// Calls body(first, count) for pieces of [0, size), on the context's threads.
template <typename Body>
void for_pieces(const Context& ctx, std::size_t size, const Body& body) {
  const auto n = static_cast<std::int64_t>(size);
  parallel_for(ctx, (n + piece_floats - 1) / piece_floats, [&](std::int64_t piece) {
    const std::int64_t first = piece * piece_floats;
    body(first, std::min(piece_floats, n - first));
  });
}

DNAS_MULTIVERSION
double sum_of_squares(const float* x, std::int64_t n) {
  constexpr int lanes = 32;  // enough f64 additions in flight to hide their latency
  double sum[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
#pragma omp simd
    for (int lane = 0; lane < lanes; ++lane) {
      const double v = x[i + lane];
      sum[lane] += v * v;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane)
    sum[lane] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0.0;
  for (int lane = 0; lane < lanes; ++lane)
    total += sum[lane];
  return total;
}

DNAS_MULTIVERSION
void axpy_piece(float a, const float* x, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i)
    y[i] += a * x[i];
}

DNAS_MULTIVERSION
void sgd_piece(SgdStep step, const float* grad, float* buffer, float* w, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = step.scale * grad[i] + step.weight_decay * w[i];
    buffer[i] = step.momentum * buffer[i] + g;
    w[i] -= step.learning_rate * buffer[i];
  }
}

/// Adam's factors of one step.
struct AdamFactors {
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float step_size;            ///< learning rate / (1 - beta1^t)
  float root_of_correction2;  ///< 1 / sqrt(1 - beta2^t)
  float epsilon;
  float weight_decay;
};

DNAS_MULTIVERSION
void adam_piece(AdamFactors f, const float* grad, float* m, float* v, float* w, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = grad[i] + f.weight_decay * w[i];
    m[i] = f.beta1 * m[i] + f.one_minus_beta1 * g;
    v[i] = f.beta2 * v[i] + f.one_minus_beta2 * g * g;
    w[i] -= f.step_size * m[i] / (std::sqrt(v[i]) * f.root_of_correction2 + f.epsilon);
  }
}

}  // namespace

double squared_norm(const Context& ctx, std::span<const float> x) {
  const auto n = static_cast<std::int64_t>(x.size());
  const std::int64_t step = std::max(piece_floats, (n + max_partials - 1) / max_partials);
  const std::int64_t pieces = (n + step - 1) / step;
  std::array<double, max_partials> partial{};
  parallel_for(ctx, pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * step;
    partial[static_cast<std::size_t>(piece)] = sum_of_squares(x.data() + first, std::min(step, n - first));
  });
  double total = 0.0;
  for (std::int64_t piece = 0; piece < pieces; ++piece)
    total += partial[static_cast<std::size_t>(piece)];
  return total;
}

void axpy(const Context& ctx, float a, std::span<const float> x, std::span<float> y) {
  check_length("axpy", "y", y.size(), x.size());
  for_pieces(ctx, x.size(),
             [&](std::int64_t first, std::int64_t count) { axpy_piece(a, x.data() + first, y.data() + first, count); });
}

void sgd_step(const Context& ctx, const SgdStep& step, std::span<const float> grad, std::span<float> momentum_buffer,
              std::span<float> w) {
  check_length("sgd_step", "grad", grad.size(), w.size());
  check_length("sgd_step", "momentum_buffer", momentum_buffer.size(), w.size());
  for_pieces(ctx, w.size(), [&](std::int64_t first, std::int64_t count) {
    sgd_piece(step, grad.data() + first, momentum_buffer.data() + first, w.data() + first, count);
  });
}

void adam_step(const Context& ctx, const AdamStep& step, std::span<const float> grad, std::span<float> m,
               std::span<float> v, std::span<float> w) {
  check_length("adam_step", "grad", grad.size(), w.size());
  check_length("adam_step", "m", m.size(), w.size());
  check_length("adam_step", "v", v.size(), w.size());
  if (step.t < 1) throw ConfigError(fmt::format("adam_step: t is {}, expected at least 1", step.t));
  // In f64: 1 - beta is exact to f32 only if the subtraction happens before rounding.
  const double beta1 = step.beta1;
  const double beta2 = step.beta2;
  const auto t = static_cast<double>(step.t);
  const AdamFactors factors{
      .beta1 = step.beta1,
      .one_minus_beta1 = static_cast<float>(1.0 - beta1),
      .beta2 = step.beta2,
      .one_minus_beta2 = static_cast<float>(1.0 - beta2),
      .step_size = static_cast<float>(static_cast<double>(step.learning_rate) / (1.0 - std::pow(beta1, t))),
      .root_of_correction2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, t))),
      .epsilon = step.epsilon,
      .weight_decay = step.weight_decay,
  };
  for_pieces(ctx, w.size(), [&](std::int64_t first, std::int64_t count) {
    adam_piece(factors, grad.data() + first, m.data() + first, v.data() + first, w.data() + first, count);
  });
}

float clip_scale(double squared, double max_norm) noexcept {
  const double scale = max_norm / (std::sqrt(squared) + 1e-6);
  return scale > 1.0 ? 1.0F : static_cast<float>(scale);  // this way round NaN stays NaN and is not hidden
}

}  // namespace dnas::kernels
