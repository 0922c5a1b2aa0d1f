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

/// A block gets more than this only after the kernel's limit was raised.
inline constexpr std::size_t default_shared_bytes = 48 * 1024;

/// The one way a kernel is started: queues `kernel` on `stream` (a cudaStream_t) and checks that the launch was
/// accepted. Does not wait, so a fault inside the kernel shows at the next synchronisation of the stream.
///
/// @param operation  start of the message: "weighted_sum_forward"
/// @throws DeviceError if the launch is refused
template <typename... Parameters, typename... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), const LaunchShape& shape, void* stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > default_shared_bytes) {
    status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  }
  if (status != cudaSuccess) {
    throw DeviceError(std::string(operation) + ": launch of " + std::to_string(shape.grid.x) + "x" +
                      std::to_string(shape.grid.y) + "x" + std::to_string(shape.grid.z) + " blocks of " +
                      std::to_string(shape.block.x) + "x" + std::to_string(shape.block.y) + " threads with " +
                      std::to_string(shape.shared_bytes) +
                      " bytes of shared memory failed: " + cudaGetErrorString(status));
  }
}

}  // namespace dnas::kernels::cuda
