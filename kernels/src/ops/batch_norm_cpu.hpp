#pragma once

#include "dnas/kernels/batch_norm.hpp"

// Host twins of batch_norm.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

[[nodiscard]] std::size_t batch_norm_workspace(const Shape& x);

void batch_norm_forward(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                        const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd,
                        std::span<std::byte> workspace);

void batch_norm_inference(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                          const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                          const TensorView& y);

void batch_norm_backward(const Context& ctx, const TensorView& x, const TensorView& gamma, const TensorView& mean,
                         const TensorView& rstd, const TensorView& dy, const TensorView& dx, Write write_dx,
                         const TensorView& dgamma, const TensorView& dbeta, std::span<std::byte> workspace);

void batch_norm_inference_backward(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                                   const TensorView& gamma, const TensorView& running_mean,
                                   const TensorView& running_var, const TensorView& dy, const TensorView& dx,
                                   Write write_dx, const TensorView& dgamma, const TensorView& dbeta,
                                   std::span<std::byte> workspace);

}  // namespace dnas::kernels::cpu
