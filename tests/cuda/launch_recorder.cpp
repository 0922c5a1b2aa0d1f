#include "simt/executor.hpp"

#include <cuda_runtime_api.h>

#include <utility>

// The executable is linked with --wrap=cudaLaunchKernelExC, to which every launch of core/launch.cuh comes down.

namespace dnas::simt {
namespace {

LaunchRecorder* recorder = nullptr;

}  // namespace

LaunchRecorder::LaunchRecorder() : previous_(std::exchange(recorder, this)) {}

LaunchRecorder::~LaunchRecorder() {
  recorder = previous_;
}

}  // namespace dnas::simt

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names.
extern "C" {

cudaError_t __real_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments);

cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  if (dnas::simt::recorder == nullptr) return __real_cudaLaunchKernelExC(config, kernel, arguments);
  dnas::simt::recorder->record({config->gridDim, config->blockDim, config->dynamicSmemBytes, 0, kernel});
  return cudaSuccess;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
