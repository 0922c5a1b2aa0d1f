#pragma once

#include "dnas/kernels/error.hpp"

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

namespace dnas::kernels::cuda {

/// How a kernel is started. Launchers get it from pure functions of the shapes, which tests call too.
struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory, for core/shared_memory.cuh

  LaunchShape(dim3 grid_, dim3 block_, std::size_t shared_bytes_ = 0)
      : grid(grid_), block(block_), shared_bytes(shared_bytes_) {}
};

namespace detail {

/// Lets `kernel` have as much dynamic shared memory as a block of the current device can hold beside the kernel's
/// static arrays, `most` bytes. Always the same value, and not what one launch needs: another thread, or a graph that
/// is instantiated later, may want more of the same kernel.
template <typename... Parameters>
[[nodiscard]] cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int& most) {
  int device = 0;
  cudaFuncAttributes attributes{};
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, kernel);
  if (status != cudaSuccess) return status;
  most -= static_cast<int>(attributes.sharedSizeBytes);
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

}  // namespace detail

/// The one way a kernel is started: queues `kernel` on `stream` (a cudaStream_t) and checks that the launch was
/// accepted. Does not wait, so a fault inside the kernel shows at the next synchronisation of the stream.
///
/// @param operation  start of the message: "weighted_sum_forward"
/// @throws DeviceError if the launch is refused; of one that wants too much shared memory it says what there is
template <typename... Parameters, typename... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), const LaunchShape& shape, void* stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  int most_shared = 0;
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > 0) status = detail::allow_shared_memory(kernel, most_shared);
  if (status == cudaSuccess) {
    status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  }
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // or a library that asks for it later would take it for its own
    const bool too_much = most_shared > 0 && shape.shared_bytes > static_cast<std::size_t>(most_shared);
    throw DeviceError(std::string(operation) + ": launch of " + std::to_string(shape.grid.x) + "x" +
                      std::to_string(shape.grid.y) + "x" + std::to_string(shape.grid.z) + " blocks of " +
                      std::to_string(shape.block.x) + "x" + std::to_string(shape.block.y) + " threads with " +
                      std::to_string(shape.shared_bytes) +
                      " bytes of shared memory failed: " + cudaGetErrorString(status) +
                      (too_much ? "; a block of this device may have " + std::to_string(most_shared) : ""));
  }
}

}  // namespace dnas::kernels::cuda
