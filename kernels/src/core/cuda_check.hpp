#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace dnas::kernels::cuda {

/// What a status means, in words. Each library's header in core/ has one more of these for its own type.
[[nodiscard]] std::string status_text(cudaError_t status);

/// @throws DeviceError "cudaMalloc(&p, n): out of memory (buffer.cpp:12)"
[[noreturn]] void throw_device_error(const char* call, const std::string& text, const char* file, int line);

}  // namespace dnas::kernels::cuda

/// Calls a function of CUDA or one of its libraries, in which 0 is always success.
/// @throws DeviceError naming call, status, file and line
#define DNAS_CUDA_CHECK(call)                                                            \
  do {                                                                                   \
    using dnas::kernels::cuda::status_text;                                              \
    if (const auto dnas_status = (call); static_cast<int>(dnas_status) != 0) {           \
      dnas::kernels::cuda::throw_device_error(#call, status_text(dnas_status), __FILE__, \
                                              __LINE__); /* NOLINT(*-array-decay) */     \
    }                                                                                    \
  } while (false)
