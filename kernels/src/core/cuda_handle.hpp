#pragma once

#include <memory>
#include <type_traits>

namespace dnas::kernels::cuda {

/// Calls Destroy. What it returns is dropped: a destructor can neither report nor mend it.
template <auto Destroy>
struct CudaDestroy {
  template <typename T>
  void operator()(T* handle) const noexcept {
    static_cast<void>(Destroy(handle));
  }
};

/// Owner of what a CUDA library hands out as a pointer to something opaque and takes back by a function: streams,
/// events, library handles, descriptors. Move-only.
///
///     CudaHandle<cudaStream_t, cudaStreamDestroy> stream;
template <typename Handle, auto Destroy>
using CudaHandle = std::unique_ptr<std::remove_pointer_t<Handle>, CudaDestroy<Destroy>>;

}  // namespace dnas::kernels::cuda
