#include "core/launch.cuh"
#include "core/ptx.cuh"
#include "core/shared_memory.cuh"
#include "simt/executor.hpp"
#include "simt/executor/sanitizers.hpp"
#include "simt/planted_bugs.cuh"

#include <cuda_bf16.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// Dynamic shared memory and the asynchronous copies into it.
namespace dnas::simt {
namespace {

using kernels::cuda::cp_async;
using kernels::cuda::cp_async_commit;
using kernels::cuda::cp_async_wait;
using kernels::cuda::launch;
using kernels::cuda::shared_bytes;
using kernels::cuda::SharedMemory;
using testing::HasSubstr;

template <typename... Parameters, typename... Arguments>
std::string error_of(void (*kernel)(Parameters...), std::size_t bytes, Arguments&&... arguments) {
  try {
    launch("test", kernel, {1, planted::threads, bytes}, nullptr, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class ExecutorMemory : public testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { set_schedule(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Schedules, ExecutorMemory, testing::ValuesIn(all_schedules));

__global__ void first_sight_kernel(unsigned* flags) {
  SharedMemory memory;
  float* const a = memory.take<float>(5);
  auto* const b = memory.take<__nv_bfloat16>(7);
  double* const c = memory.take<double>(3);
  bool fresh = true;
  bool aligned = true;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 5; ++i)
      fresh = fresh && isnan(a[i]);
    for (int i = 0; i < 7; ++i)
      fresh = fresh && isnan(__bfloat162float(b[i]));
    for (int i = 0; i < 3; ++i)
      fresh = fresh && isnan(c[i]);
    for (const void* const p : {static_cast<void*>(a), static_cast<void*>(b), static_cast<void*>(c)})
      aligned = aligned && reinterpret_cast<std::uintptr_t>(p) % 32 == 16;
    a[4] = 0.0F;
    b[6] = __float2bfloat16_rn(0.0F);
    c[2] = 0.0;
    flags[blockIdx.x] = (fresh ? 1U : 0U) + (aligned ? 2U : 0U);
  }
}

TEST_P(ExecutorMemory, IsNaNInEveryBlockAndAlignedToSixteen) {
  std::vector<unsigned> flags(40, 0);
  launch("first_sight", first_sight_kernel, {40, 64, shared_bytes<float>(5) + shared_bytes<__nv_bfloat16>(7) + 32},
         nullptr, flags.data());
  EXPECT_EQ(flags, std::vector<unsigned>(40, 3));
}

TEST_P(ExecutorMemory, TakingMoreThanTheLaunchGaveIsAnError) {
  const std::size_t bytes = shared_bytes<float>(planted::threads);
  std::vector<float> out(planted::threads);
  EXPECT_EQ(error_of(planted::overrun, 2 * bytes, out.data(), 0), "no error");
  EXPECT_EQ(out, std::vector<float>(planted::threads, 3.0F));
  EXPECT_THAT(error_of(planted::overrun, 2 * bytes - 1, out.data(), 0),
              HasSubstr("shared memory: the kernel takes 1024 bytes, but the launch gave 1023"));
}

__global__ void ragged_take_kernel() {
  SharedMemory memory;
  (void)memory.take<float>(threadIdx.x == 9 ? 5 : 4);
}

TEST_P(ExecutorMemory, ThreadsThatTakeDifferentArraysAreAnError) {
  EXPECT_THAT(error_of(ragged_take_kernel, 1024), HasSubstr("in another thread of the block"));
}

TEST_P(ExecutorMemory, PlantedOverrunIsAnErrorWhereNoSanitizerLooks) {
  if (address_sanitizer) GTEST_SKIP() << "would end the process (planted_faults.cpp)";
  std::vector<float> out(planted::threads);
  EXPECT_THAT(error_of(planted::overrun, 4096, out.data(), 3),
              HasSubstr("block (0, 0, 0): shared memory was written to behind array 0 or before array 1"));
}

// --- asynchronous copies --------------------------------------------------------------------------------------------

TEST_P(ExecutorMemory, CopiesArriveAfterWaitAndBarrier) {
  std::vector<int> from(planted::threads * 4);
  for (std::size_t i = 0; i < from.size(); ++i)
    from[i] = static_cast<int>(i);
  std::vector<int> to(from.size(), -1);
  launch("copy_neighbour", planted::copy_neighbour<planted::Missing::nothing>,
         {1, planted::threads, shared_bytes<int4>(planted::threads)}, nullptr,
         reinterpret_cast<const int4*>(from.data()), reinterpret_cast<int4*>(to.data()));
  for (std::size_t i = 0; i < to.size(); ++i)
    ASSERT_EQ(to[(i + 4) % to.size()], from[i]);
}

template <int Bytes>
__global__ void partial_copy_kernel(const unsigned char* from, unsigned char* to, int valid) {
  SharedMemory memory;
  auto* const shared = memory.take<unsigned char>(Bytes * planted::threads);
  unsigned char* const mine = shared + Bytes * threadIdx.x;
  cp_async<Bytes>(mine, from + (valid > 0 ? Bytes * static_cast<int>(threadIdx.x) : 1), valid);
  cp_async_commit();
  cp_async_wait<0>();
  for (int i = 0; i < Bytes; ++i)
    to[Bytes * threadIdx.x + static_cast<unsigned>(i)] = mine[i];
}

template <int Bytes>
void expect_zero_filled() {
  alignas(16) unsigned char from[Bytes * planted::threads];
  for (std::size_t i = 0; i < sizeof from; ++i)
    from[i] = static_cast<unsigned char>(i % 251 + 1);
  for (int valid = 0; valid <= Bytes; valid += Bytes / 4) {
    std::vector<unsigned char> to(sizeof from, 255);
    launch("partial_copy", partial_copy_kernel<Bytes>, {1, planted::threads, sizeof from}, nullptr, from, to.data(),
           valid);
    for (std::size_t i = 0; i < sizeof from; ++i)
      ASSERT_EQ(to[i], static_cast<int>(i % Bytes) < valid ? from[i] : 0) << i << ", " << valid << " of " << Bytes;
  }
}

TEST_P(ExecutorMemory, CopiesFillUpWithZeros) {
  expect_zero_filled<4>();
  expect_zero_filled<8>();
  expect_zero_filled<16>();
}

enum class Fault { to_misaligned, from_misaligned, to_global, from_shared, null, valid, unwaited, uncommitted };

template <Fault What>
__global__ void bad_copy_kernel(float* global) {
  SharedMemory memory;
  float* const shared = memory.take<float>(64);
  if (threadIdx.x == 3) {
    if constexpr (What == Fault::to_misaligned) cp_async<16>(shared + 1, global);
    if constexpr (What == Fault::from_misaligned) cp_async<8>(shared, global + 1);
    if constexpr (What == Fault::to_global) cp_async<4>(global, global + 4);
    if constexpr (What == Fault::from_shared) cp_async<4>(shared, shared + 4);
    if constexpr (What == Fault::null) cp_async<16>(shared, nullptr, 0);
    if constexpr (What == Fault::valid) cp_async<8>(shared, global, 9);
    if constexpr (What == Fault::unwaited || What == Fault::uncommitted) cp_async<4>(shared, global);
    if constexpr (What != Fault::uncommitted) cp_async_commit();
    if constexpr (What != Fault::unwaited) cp_async_wait<0>();
  }
}

template <Fault What>
std::string fault() {
  alignas(16) float global[8] = {};
  return error_of(bad_copy_kernel<What>, 256, global);
}

TEST_P(ExecutorMemory, CopiesThatADeviceWouldNotMakeAreErrors) {
  EXPECT_THAT(
      fault<Fault::to_misaligned>(),
      testing::ContainsRegex("thread \\(3, 0, 0\\): cp_async at executor_memory_test.cpp:[0-9]+: the destination "
                             "is misaligned"));
  EXPECT_THAT(fault<Fault::from_misaligned>(), HasSubstr("the source is misaligned"));
  EXPECT_THAT(fault<Fault::to_global>(), HasSubstr("the destination is not in an array of SharedMemory"));
  EXPECT_THAT(fault<Fault::from_shared>(), HasSubstr("the source is shared memory"));
  EXPECT_THAT(fault<Fault::null>(), HasSubstr("the source is null"));
  EXPECT_THAT(fault<Fault::valid>(), HasSubstr("more valid bytes than bytes"));
  EXPECT_THAT(fault<Fault::unwaited>(),
              HasSubstr("thread (3, 0, 0): returned with asynchronous copies that were never waited for"));
  EXPECT_THAT(fault<Fault::uncommitted>(), HasSubstr("never waited for"));
}

}  // namespace
}  // namespace dnas::simt
