#pragma once

#include "core/cuda_check.hpp"
#include "core/cuda_handle.hpp"

#include <cublasLt.h>

#include <string>

namespace dnas::kernels::cuda {

[[nodiscard]] std::string status_text(cublasStatus_t status);

using CublasLtHandle = CudaHandle<cublasLtHandle_t, cublasLtDestroy>;
using CublasLtDesc = CudaHandle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using CublasLtLayout = CudaHandle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using CublasLtPreference = CudaHandle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// @throws DeviceError
[[nodiscard]] CublasLtHandle make_cublaslt(int device);

}  // namespace dnas::kernels::cuda
