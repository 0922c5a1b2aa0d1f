#include "core/cublaslt.hpp"

#include "core/cuda_device.hpp"

#include <fmt/format.h>

namespace dnas::kernels::cuda {

std::string status_text(cublasStatus_t status) {
  return fmt::format("{} ({})", cublasLtGetStatusString(status), cublasLtGetStatusName(status));
}

CublasLtHandle make_cublaslt(int device) {
  const CurrentDevice current(device);
  cublasLtHandle_t handle = nullptr;
  DNAS_CUDA_CHECK(cublasLtCreate(&handle));
  return CublasLtHandle(handle);
}

}  // namespace dnas::kernels::cuda
