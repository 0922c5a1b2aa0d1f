#pragma once

#include "dnas/kernels/pool.hpp"
#include "dnas/kernels/tensor_view.hpp"

// Device side of pool.hpp, with the same contract; all tensors lie in device memory, `stream` is a cudaStream_t. x, y,
// dx, dy: f32 or bf16, all of one type, sums in f32; argmax: u8. Arguments are taken as checked. Asynchronous, no
// allocation, capture-safe, one launch each. Bitwise repeatable: an element of a result is gathered by one thread in
// the order of the window's positions, or, of the global pool, summed in an order that the shape decides.
namespace dnas::kernels::cuda {

void max_pool_forward(const Pool& pool, const TensorView& x, const TensorView& y, const TensorView& argmax,
                      void* stream);
void max_pool_backward(const Pool& pool, const TensorView& dy, const TensorView& argmax, const TensorView& dx,
                       Write write, void* stream);

void avg_pool_forward(const Pool& pool, const TensorView& x, const TensorView& y, void* stream);
void avg_pool_backward(const Pool& pool, const TensorView& dy, const TensorView& dx, Write write, void* stream);

void global_avg_pool_forward(const TensorView& x, const TensorView& y, void* stream);
void global_avg_pool_backward(const TensorView& dy, const TensorView& dx, Write write, void* stream);

}  // namespace dnas::kernels::cuda
