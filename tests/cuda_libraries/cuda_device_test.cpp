#include "core/cuda_device.hpp"

#include "core/cuda_check.hpp"
#include "core/cuda_handle.hpp"
#include "cuda_libraries/device.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace dnas::kernels::cuda {
namespace {

using test::message_of;
using test::no_device;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(CudaDevice, WithoutOneSaysSo) {
  if (!no_device()) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_THAT(message_of<DeviceError>([] { require_device(0); }), StartsWith("no CUDA device: "));
  EXPECT_THAT(message_of<DeviceError>([] { const CurrentDevice current(0); }), StartsWith("no CUDA device: "));
}

TEST(CudaDevice, RefusesANumberThatDoesNotExist) {
  if (const auto reason = no_device()) GTEST_SKIP() << *reason;
  EXPECT_THAT(message_of<DeviceError>([] { require_device(9999); }), HasSubstr("9999"));
  EXPECT_THAT(message_of<DeviceError>([] { require_device(-1); }), HasSubstr("-1"));
}

TEST(CudaCheck, MessageNamesCallStatusFileAndLine) {
  const int line = __LINE__ + 1;
  EXPECT_THAT(message_of<DeviceError>([] { DNAS_CUDA_CHECK(cudaErrorMemoryAllocation); }),
              AllOf(StartsWith("cudaErrorMemoryAllocation: out of memory (cudaErrorMemoryAllocation) "),
                    HasSubstr("(cuda_device_test.cpp:" + std::to_string(line) + ")")));
  EXPECT_NO_THROW(DNAS_CUDA_CHECK(cudaSuccess));
}

int destroyed = 0;
int destroy(int* /*handle*/) {
  ++destroyed;
  return 1;  // a status nobody reads
}

TEST(CudaHandle, DestroysOnceAndOnlyWhatItHolds) {
  destroyed = 0;
  int resource = 0;
  {
    CudaHandle<int*, destroy> first(&resource);
    CudaHandle<int*, destroy> second(std::move(first));
    const CudaHandle<int*, destroy> empty;
    EXPECT_EQ(second.get(), &resource);
    EXPECT_EQ(destroyed, 0);
  }
  EXPECT_EQ(destroyed, 1);
}

}  // namespace
}  // namespace dnas::kernels::cuda
