#pragma once

#include "dnas/kernels/elementwise.hpp"
#include "dnas/kernels/tensor_view.hpp"

// Device side of elementwise.hpp, with the same contract; all tensors lie in device memory, may be slices of channels,
// and are f32 or bf16, of one type but for copy(), which converts. `stream` is a cudaStream_t. Arguments are taken as
// checked. Asynchronous, no allocation, capture-safe, one launch each.
namespace dnas::kernels::cuda {

void relu_forward(const TensorView& x, const TensorView& y, void* stream);
void relu_backward(const TensorView& y, const TensorView& dy, const TensorView& dx, Write write, void* stream);

/// y (+)= x, rounded to the type of y.
void copy(const TensorView& x, const TensorView& y, Write write, void* stream);

}  // namespace dnas::kernels::cuda
