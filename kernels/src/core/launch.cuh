#pragma once

#include "dnas/kernels/error.hpp"

#include <cuda_runtime.h>

#include <string>
#include <utility>

namespace dnas::kernels::cuda {

/// The one way a kernel is started: queues `kernel` on `stream` (a cudaStream_t) and checks that the launch was
/// accepted. Does not wait, so a fault inside the kernel shows at the next synchronisation of the stream.
///
/// @param operation  start of the message: "weighted_sum_forward"
/// @throws DeviceError if the launch is refused
template <typename... Parameters, typename... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t status =
      cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  if (status != cudaSuccess) {
    throw DeviceError(std::string(operation) + ": launch of " + std::to_string(grid.x) + "x" + std::to_string(grid.y) +
                      " blocks of " + std::to_string(block.x) + "x" + std::to_string(block.y) +
                      " threads failed: " + cudaGetErrorString(status));
  }
}

}  // namespace dnas::kernels::cuda
