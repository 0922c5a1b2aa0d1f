#pragma once

#include "dnas/kernels/cross_entropy.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <span>

// Device side of cross_entropy.hpp, with the same contract; all tensors lie in device memory, `stream` is a
// cudaStream_t. Arguments are taken as checked. Asynchronous, no allocation, capture-safe, one launch each. Rows are
// computed in f64 by a warp each, and their losses added in f64 in a fixed order: bitwise repeatable. The counter at
// the front of the workspace is zero before its first use and again after each.
namespace dnas::kernels::cuda {

/// Bytes of device scratch for cross_entropy_forward.
[[nodiscard]] std::size_t cross_entropy_workspace(std::int64_t rows);

void cross_entropy_forward(const TensorView& logits, const TensorView& labels, float smoothing, const TensorView& loss,
                           const TensorView& p, std::span<std::byte> workspace, void* stream);

void cross_entropy_backward(const TensorView& p, const TensorView& labels, float smoothing, const TensorView& dlogits,
                            void* stream);

}  // namespace dnas::kernels::cuda
