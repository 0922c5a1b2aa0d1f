#include "core/cuda_device.hpp"

#include "core/cuda_check.hpp"
#include "dnas/kernels/error.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <filesystem>

namespace dnas::kernels::cuda {

std::string status_text(cudaError_t status) {
  return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
}

void throw_device_error(const char* call, const std::string& text, const char* file, int line) {
  throw DeviceError(fmt::format("{}: {} ({}:{})", call, text, std::filesystem::path(file).filename().string(), line));
}

void require_device(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    // Without a driver the status speaks of one that is too old.
    int driver = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    if (driver == 0) throw DeviceError("no CUDA device: no NVIDIA driver is loaded");
    throw DeviceError("no CUDA device: " + (status == cudaSuccess ? "the driver knows none" : status_text(status)));
  }
  if (device < 0 || device >= count) {
    throw DeviceError(fmt::format("CUDA device {} does not exist, expected 0 to {}", device, count - 1));
  }
}

CurrentDevice::CurrentDevice(int device) {
  require_device(device);
  DNAS_CUDA_CHECK(cudaGetDevice(&previous_));
  DNAS_CUDA_CHECK(cudaSetDevice(device));
}

CurrentDevice::~CurrentDevice() {
  static_cast<void>(cudaSetDevice(previous_));
}

}  // namespace dnas::kernels::cuda
