#pragma once

// Tests of kernels hold tensors in std::vector and the like. In this executable all memory of operator new, and of
// Buffer, comes from page-locked host memory, which kernels reach under the same address; what lies on the stack or in
// static storage they do not reach.
namespace dnas::cuda_test {

/// From now on; before, and where there is no device, memory is malloc's. Memory is handed out of large pieces, or, if
/// environment variable DNAS_PINNED_MEMORY is "each", every allocation is one of CUDA's own: slow, but
/// compute-sanitizer then sees accesses outside of it.
void start_pinned_memory();

/// Nothing is given back to CUDA any more: its runtime may be gone before the last destructor.
void stop_pinned_memory();

}  // namespace dnas::cuda_test
