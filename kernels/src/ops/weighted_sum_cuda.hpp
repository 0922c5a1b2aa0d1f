#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// Device side of weighted_sum.hpp, with the same contract; all tensors lie in device memory, `stream` is a
// cudaStream_t. Arguments are taken as checked. Asynchronous, no allocation, capture-safe. Bitwise repeatable for fixed
// shapes and alignment: they alone decide how work is cut, and partial sums are added in a fixed order, without
// atomics.
namespace dnas::kernels::cuda {

void weighted_sum_forward(std::span<const TensorView> x, std::span<const std::int32_t> index, const TensorView& w,
                          const TensorView& y, void* stream);

void weighted_sum_backward_data(std::span<const std::int32_t> index, const TensorView& w, const TensorView& dy,
                                std::span<const TensorView> dx, std::span<const Write> write, void* stream);

/// Bytes of device scratch for weighted_sum_backward_weights.
[[nodiscard]] std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms);

void weighted_sum_backward_weights(std::span<const TensorView> x, std::span<const std::int32_t> index,
                                   const TensorView& dy, const TensorView& dw, std::span<std::byte> workspace,
                                   void* stream);

}  // namespace dnas::kernels::cuda
