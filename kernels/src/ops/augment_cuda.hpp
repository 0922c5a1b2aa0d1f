#pragma once

#include "dnas/kernels/augment.hpp"
#include "dnas/kernels/tensor_view.hpp"

// Device side of augment.hpp, with the same contract and, for f32, the very bits of the host; all tensors lie in device
// memory, so do the augmentations, which are read when the kernel runs. `stream` is a cudaStream_t. Arguments are taken
// as checked. Asynchronous, no allocation, capture-safe, one launch.
namespace dnas::kernels::cuda {

/// x [N, H, W, C] u8 dense; augmentations [N]; mean, std [C] f32; y [N, H, W, C] f32 or bf16 dense.
void augment(const TensorView& x, const Augmentation* augmentations, const TensorView& mean, const TensorView& std,
             const TensorView& y, void* stream);

}  // namespace dnas::kernels::cuda
