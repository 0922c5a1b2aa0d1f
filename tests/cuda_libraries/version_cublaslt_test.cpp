#include "core/cublaslt.hpp"
#include "cuda_libraries/device.hpp"
#include "support/throws.hpp"

#include <cublas_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dnas::kernels::cuda {
namespace {

TEST(CublasLt, IsTheReleaseItWasCompiledFor) {
  EXPECT_EQ(cublasLtGetVersion(), std::size_t{CUBLAS_VERSION});
}

TEST(CublasLt, StatusIsReadable) {
  EXPECT_THAT(status_text(CUBLAS_STATUS_NOT_SUPPORTED), testing::HasSubstr("CUBLAS_STATUS_NOT_SUPPORTED"));
}

TEST(CublasLt, HandleWithoutADeviceSaysSo) {
  if (!test::no_device()) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_THAT(test::message_of<DeviceError>([] { static_cast<void>(make_cublaslt(0)); }),
              testing::StartsWith("no CUDA device: "));
}

}  // namespace
}  // namespace dnas::kernels::cuda
