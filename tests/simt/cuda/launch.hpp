#pragma once

#include "simt/executor/launch.hpp"

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

// Starting kernels, as far as core/launch.cuh uses the runtime.
// NOLINTBEGIN(readability-identifier-naming): the names are CUDA's.

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

struct cudaFuncAttributes {
  std::size_t sharedSizeBytes;  // static
};

/// There is one device, and no error outlives the call that returns it.
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr /*the only one*/, int /*device*/) {
  *value = static_cast<int>(dnas::simt::max_shared_bytes);
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
  }
  return "unrecognized error code";
}

namespace dnas::simt {

constexpr cudaError_t cuda_error(LaunchStatus status) {
  switch (status) {
    case LaunchStatus::accepted:
      return cudaSuccess;
    case LaunchStatus::invalid_value:
      return cudaErrorInvalidValue;
    case LaunchStatus::invalid_configuration:
      break;
  }
  return cudaErrorInvalidConfiguration;
}

/// Bytes of a kernel's parameters, each at its alignment.
template <typename... Parameters>
constexpr std::size_t parameter_bytes() {
  std::size_t end = 0;
  ((end = (end + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) + sizeof(Parameters)), ...);
  return end;
}

}  // namespace dnas::simt

template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute /*the only one*/, int value) {
  return cuda_error(dnas::simt::allow_shared_bytes(reinterpret_cast<const void*>(kernel), value));
}

/// Variables in static shared memory are the host's, and take none.
template <typename... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (* /*kernel*/)(Parameters...)) {
  *attributes = {};
  return cudaSuccess;
}

/// Runs the whole grid before it returns; refuses what the device would refuse.
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernel parameters are copied as bytes");
  constexpr std::size_t bytes = dnas::simt::parameter_bytes<Parameters...>();
  static_assert(bytes <= dnas::simt::max_parameter_bytes, "more kernel parameters than a launch can carry");
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const Call call{kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)};
  const auto call_kernel = [](const void* of_this) {
    const auto& mine = *static_cast<const Call*>(of_this);
    std::apply(mine.kernel, mine.parameters);
  };
  return cuda_error(dnas::simt::launch_grid({config->gridDim, config->blockDim, config->dynamicSmemBytes, bytes,
                                             reinterpret_cast<const void*>(kernel), call_kernel, &call}));
}
// NOLINTEND(readability-identifier-naming)
