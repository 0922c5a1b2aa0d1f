#pragma once

#include "dnas/kernels/normalisation.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

// Device side of normalisation.hpp, with the same contract; all tensors lie in device memory, `stream` is a
// cudaStream_t. x, g and dx: f32 or bf16, all of one type; per-channel rows: f32. Arguments are taken as checked.
// Asynchronous, no allocation, capture-safe. Bitwise repeatable for fixed shapes and alignment: each block sums up to
// 128 pixels per thread in f32 about a value of the channel, the last block adds the parts in f64 in order. Counters
// at the front of the workspace are zero before its first use and again after each.
namespace dnas::kernels::cuda {

/// Bytes of device scratch for batch_statistics and channel_statistics.
[[nodiscard]] std::size_t batch_statistics_workspace(const Shape& x);

/// One launch (of up to 16 running statistics; more take further launches).
void batch_statistics(const BatchNorm& bn, const TensorView& x, std::span<const RunningStatistics> running,
                      const TensorView& normalisation, std::span<std::byte> workspace, void* stream);

/// Where the statistics of a channel go, [C] each.
struct StatisticsRows {
  float* mean;
  float* rstd;
  float* residual;  ///< what rounding took from the mean; null: not wanted
};

void channel_statistics(const BatchNorm& bn, const TensorView& x, std::span<const RunningStatistics> running,
                        const StatisticsRows& to, std::span<std::byte> workspace, void* stream);

/// One launch.
void normalisation_backward(const TensorView& x, std::span<const TensorView> g, std::span<const TensorView> gradients,
                            const TensorView& dx, Write write, void* stream);

}  // namespace dnas::kernels::cuda
