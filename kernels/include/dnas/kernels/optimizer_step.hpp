#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>
#include <span>

namespace dnas::kernels {

// All parameters of a network lie in one flat f32 array, so one call updates them all. Spans of one call have equal
// length (ShapeError otherwise). Element-wise and in place; bitwise repeatable, independent of the number of threads.

/// Sum of squares in f64, in fixed order.
[[nodiscard]] double squared_norm(const Context& ctx, std::span<const float> x);

/// y = a * x + y.
void axpy(const Context& ctx, float a, std::span<const float> x, std::span<float> y);

/// SGD with momentum and coupled weight decay, as PyTorch: g = scale * grad + decay * w; buf = momentum * buf + g (buf
/// = g on the first step, where buf must be zero); w -= lr * buf. `scale` carries the gradient clip.
struct SgdStep {
  float learning_rate = 0.0F;
  float momentum = 0.0F;
  float weight_decay = 0.0F;
  float scale = 1.0F;
};
void sgd_step(const Context& ctx, const SgdStep& step, std::span<const float> grad, std::span<float> momentum_buffer,
              std::span<float> w);

/// Adam with coupled (L2) weight decay, as PyTorch: g = grad + decay * w; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
/// w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps). `t` counts from 1.
struct AdamStep {
  float learning_rate = 0.0F;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0.0F;
  std::int64_t t = 1;
};
void adam_step(const Context& ctx, const AdamStep& step, std::span<const float> grad, std::span<float> m,
               std::span<float> v, std::span<float> w);

/// The factor that brings a gradient of squared norm `squared` down to `max_norm`: max_norm / (norm + 1e-6), at most 1.
[[nodiscard]] float clip_scale(double squared, double max_norm) noexcept;

}  // namespace dnas::kernels
