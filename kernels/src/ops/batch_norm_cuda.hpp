#pragma once

#include "dnas/kernels/batch_norm.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

// Device side of batch_norm.hpp, with the same contract; all tensors lie in device memory, `stream` is a cudaStream_t.
// x, y, dy, dx: f32 or bf16, all of one type; all else f32. Arguments are taken as checked. Asynchronous, no
// allocation, capture-safe. Bitwise repeatable for fixed shapes and alignment; sums as normalisation_cuda.hpp
// describes. Counters at the front of the workspace are zero before its first use and again after each.
namespace dnas::kernels::cuda {

/// Bytes of device scratch for the training forward and the backward pass.
[[nodiscard]] std::size_t batch_norm_workspace(const Shape& x);

/// Two launches: statistics, then y.
void batch_norm_forward(const BatchNorm& bn, const TensorView& x, const TensorView& gamma, const TensorView& beta,
                        const TensorView& running_mean, const TensorView& running_var, const TensorView& y,
                        const TensorView& mean, const TensorView& rstd, std::span<std::byte> workspace, void* stream);

/// One launch.
void batch_norm_inference(const BatchNorm& bn, const TensorView& x, const TensorView& gamma, const TensorView& beta,
                          const TensorView& running_mean, const TensorView& running_var, const TensorView& y,
                          void* stream);

/// Two launches: sums with dgamma and dbeta, then dx (if wanted).
void batch_norm_backward(const TensorView& x, const TensorView& gamma, const TensorView& mean, const TensorView& rstd,
                         const TensorView& dy, const TensorView& dx, Write write_dx, const TensorView& dgamma,
                         const TensorView& dbeta, std::span<std::byte> workspace, void* stream);

}  // namespace dnas::kernels::cuda
