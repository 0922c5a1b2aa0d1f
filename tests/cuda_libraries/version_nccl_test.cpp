#include <gtest/gtest.h>
#include <nccl.h>

namespace dnas {
namespace {

TEST(Nccl, IsTheReleaseItWasCompiledFor) {
  int version = 0;
  ASSERT_EQ(ncclGetVersion(&version), ncclSuccess);
  EXPECT_EQ(version, NCCL_VERSION_CODE);
}

}  // namespace
}  // namespace dnas
