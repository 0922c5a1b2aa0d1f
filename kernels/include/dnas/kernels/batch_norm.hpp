#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace dnas::kernels {

/// Batch normalisation per channel over all M = N*H*W pixels:
/// y = gamma * (x - mean) / sqrt(var + eps) + beta, with the biased batch variance.
///
/// x, y: [N, H, W, C] f32, either may be a channel slice. gamma, beta, statistics: [C] f32 dense. gamma and beta may
/// both be null views (no affine part), and so may running_mean and running_var; one of a pair alone is refused. Sums
/// are taken in f32 over short runs, shifted by the channel's first value, and combined in f64 in a fixed order:
/// accurate for |mean| >> std, bitwise repeatable, independent of the threads. Source: Ioffe and Szegedy 2015,
/// arXiv:1502.03167.
struct BatchNorm {
  float epsilon = 1e-5F;
  float momentum = 0.1F;  ///< running = (1 - momentum) * running + momentum * batch (unbiased variance, as PyTorch)

  friend bool operator==(const BatchNorm&, const BatchNorm&) = default;
};

/// Scratch bytes for the training forward and the backward passes; depends on the shape only. Must be 64-byte aligned.
[[nodiscard]] std::size_t batch_norm_workspace(const Shape& x);

/// Training: normalises with batch statistics, writes mean and rstd = 1/sqrt(var + eps) for the backward pass, and
/// moves the running statistics (null views: not moved). y may be x.
/// @throws ShapeError, DtypeError naming the argument
void batch_norm_forward(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                        const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd,
                        std::span<std::byte> workspace);

/// Evaluation: normalises with the running statistics.
void batch_norm_inference(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                          const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                          const TensorView& y);

/// Gradient through the batch statistics. With xhat = (x - mean) * rstd:
/// dbeta = sum dy, dgamma = sum dy*xhat, dx (+)= gamma * rstd * (dy - dbeta/M - xhat * dgamma/M).
/// dx, dgamma, dbeta may each be a null view (not wanted). dx may be dy. dgamma and dbeta are overwritten.
void batch_norm_backward(const Context& ctx, const TensorView& x, const TensorView& gamma, const TensorView& mean,
                         const TensorView& rstd, const TensorView& dy, const TensorView& dx, Write write_dx,
                         const TensorView& dgamma, const TensorView& dbeta, std::span<std::byte> workspace);

/// Gradient of batch_norm_inference, to which the running statistics are constants. With s = 1/sqrt(running_var + eps):
/// dx (+)= gamma * s * dy, dgamma = sum dy * (x - running_mean) * s, dbeta = sum dy.
/// dx, dgamma, dbeta may each be a null view (not wanted), and x if dgamma is one. dx may be dy. dgamma and dbeta are
/// overwritten. Host only: there is no CUDA version yet.
void batch_norm_inference_backward(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                                   const TensorView& gamma, const TensorView& running_mean,
                                   const TensorView& running_var, const TensorView& dy, const TensorView& dx,
                                   Write write_dx, const TensorView& dgamma, const TensorView& dbeta,
                                   std::span<std::byte> workspace);

}  // namespace dnas::kernels
