#include "core/cudnn.hpp"
#include "cuda_libraries/device.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dnas::kernels::cuda {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Cudnn, IsTheReleaseItWasCompiledFor) {
  EXPECT_EQ(cudnnGetVersion(), std::size_t{CUDNN_VERSION});
}

TEST(Cudnn, HandleWithoutADeviceSaysSo) {
  if (!test::no_device()) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_THAT(test::message_of<DeviceError>([] { static_cast<void>(make_cudnn(0)); }), StartsWith("no CUDA device: "));
}

TEST(Cudnn, ErrorsNameStatusAndReason) {
  // A tensor without dimensions.
  const std::string message = test::message_of<DeviceError>([] {
    CudnnDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.finalize();
  });
  EXPECT_THAT(message, HasSubstr("CUDNN_STATUS_BAD_PARAM, "));
  EXPECT_THAT(message, HasSubstr("cudnn.cpp:"));
}

TEST(Cudnn, PropertiesThatAreNoneAreRefused) {
  EXPECT_THAT(test::message_of<DeviceError>([] { const CudnnDevice device("{}"); }), HasSubstr("CUDNN_STATUS_"));
}

}  // namespace
}  // namespace dnas::kernels::cuda
