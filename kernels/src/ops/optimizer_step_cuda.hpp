#pragma once

#include "dnas/kernels/optimizer_step.hpp"

#include <cstddef>
#include <span>

// Device side of optimizer_step.hpp, with the same formulas. Every pointer and span is device memory, `stream` is a
// cudaStream_t. What changes from step to step (learning rate, clip, step count, a) is read by the kernel when it runs,
// so that a captured graph can be replayed with new values. Arguments are taken as checked. Asynchronous, no
// allocation; bitwise repeatable for fixed lengths and alignment. The counter at the front of a workspace is zero
// before its first use and again after each.
namespace dnas::kernels::cuda {

/// Bytes of device scratch for squared_norm of `count` elements.
[[nodiscard]] std::size_t squared_norm_workspace(std::size_t count);

/// *result = sum of squares, in f64. One launch.
void squared_norm(std::span<const float> x, std::span<std::byte> workspace, double* result, void* stream);

/// Likewise, and *scale = clip_scale(*result, max_norm): with `scale` = &step->scale of the SgdStep in device memory,
/// clipping takes no read-back. One launch.
void clip_gradient(std::span<const float> gradient, double max_norm, std::span<std::byte> workspace, double* result,
                   float* scale, void* stream);

/// y = *a * x + y.
void axpy(const float* a, std::span<const float> x, std::span<float> y, void* stream);

void sgd_step(const SgdStep* step, std::span<const float> grad, std::span<float> momentum_buffer, std::span<float> w,
              void* stream);

void adam_step(const AdamStep* step, std::span<const float> grad, std::span<float> m, std::span<float> v,
               std::span<float> w, void* stream);

}  // namespace dnas::kernels::cuda
