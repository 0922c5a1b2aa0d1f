#include "simt/executor.hpp"
#include "core/launch.cuh"
#include "core/reduce.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

// The executor itself: it has to run what is right and to notice what is wrong.
namespace dnas {
namespace {

using kernels::cuda::launch;

constexpr int threads = 64;

__global__ void number_kernel(int* out) {
  const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
  out[(block * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] += 1;
}

/// Each thread reads what its upper neighbour wrote; right only with the barrier.
template <bool Barrier>
__global__ void neighbour_kernel(int* out) {
  __shared__ int shared[threads];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i;
  if (Barrier) __syncthreads();
  out[i] = shared[(i + 1) % threads];
  __syncthreads();
  shared[i] = -1;
}

/// Half of the first warp waits for the block, the other half for the warp.
__global__ void divergent_kernel() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    (void)__shfl_down_sync(0xFFFFFFFFU, 1, 1);
  }
}

__global__ void early_return_kernel(int* out) {
  if (threadIdx.x % 2 == 1) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void shuffle_kernel(const double* in, double* out) {
  const double once = __shfl_down_sync(0xFFFFFFFFU, in[threadIdx.x], 5);
  out[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFU, once, 2);
}

__global__ void block_sum_kernel(const double* in, double* out) {
  __shared__ double scratch[threads / 32];
  const double first = kernels::cuda::block_sum<threads>(in[threadIdx.x], scratch);
  const double second = kernels::cuda::block_sum<threads>(2.0 * in[threadIdx.x], scratch);
  if (threadIdx.x == 0) {
    out[0] = first;
    out[1] = second;
  }
}

class Executor : public testing::TestWithParam<simt::Schedule> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
};

TEST_P(Executor, RunsEveryThreadOnce) {
  std::vector<int> out(3 * 2 * 5 * 7, 0);
  launch("number", number_kernel, {dim3(3, 2), dim3(5, 7)}, nullptr, out.data());
  EXPECT_EQ(out, std::vector<int>(out.size(), 1));
}

TEST_P(Executor, BarrierMakesWritesVisible) {
  std::vector<int> out(threads, -2);
  launch("neighbour", neighbour_kernel<true>, {3, threads}, nullptr, out.data());
  for (int i = 0; i < threads; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i)], (i + 1) % threads);
}

TEST_P(Executor, DivergentBarrierIsAnError) {
  try {
    launch("divergent", divergent_kernel, {1, threads}, nullptr);
    FAIL() << "expected an error";
  } catch (const simt::Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("block (0, 0, 0): cannot go on: 32 of 64 threads have returned; "
                                                  "16 wait at the barrier at executor_test.cpp:"));
    EXPECT_THAT(error.what(), testing::HasSubstr("; 16 wait in the warp operation at executor_test.cpp:"));
    EXPECT_THAT(error.what(), testing::HasSubstr(", the first of them thread (16, 0, 0)"));
  }
}

TEST_P(Executor, ReturnedThreadsAreNotWaitedFor) {
  std::vector<int> out(threads, 0);
  launch("early_return", early_return_kernel, {1, threads}, nullptr, out.data());
  for (std::size_t i = 0; i < threads; ++i)
    EXPECT_EQ(out[i], i % 2 == 0 ? 1 : 0);
}

TEST_P(Executor, ShuffleReadsTheLaneAbove) {
  std::vector<double> in(threads);
  std::vector<double> out(threads);
  for (std::size_t i = 0; i < threads; ++i)
    in[i] = static_cast<double>(i);
  launch("shuffle", shuffle_kernel, {1, threads}, nullptr, in.data(), out.data());
  for (std::size_t i = 0; i < threads; ++i) {
    // Past the end of its warp a lane keeps its own value, in each of the two steps.
    const std::size_t lane = i % 32;
    const std::size_t middle = lane + 2 < 32 ? lane + 2 : lane;
    const std::size_t source = middle + 5 < 32 ? middle + 5 : middle;
    EXPECT_EQ(out[i], static_cast<double>(i - lane + source)) << "thread " << i;
  }
}

TEST_P(Executor, BlockSumAddsAllThreads) {
  std::vector<double> in(threads);
  for (std::size_t i = 0; i < threads; ++i)
    in[i] = static_cast<double>(i);
  std::vector<double> out(2, -1.0);
  launch("block_sum", block_sum_kernel, {1, threads}, nullptr, in.data(), out.data());
  EXPECT_EQ(out, (std::vector<double>{2016.0, 4032.0}));
}

INSTANTIATE_TEST_SUITE_P(Schedules, Executor, testing::ValuesIn(simt::all_schedules));

TEST(ExecutorSchedules, MissingBarrierShowsUnderSomeSchedule) {
  int wrong = 0;
  for (const simt::Schedule schedule : simt::all_schedules) {
    simt::set_schedule(schedule);
    std::vector<int> out(threads, -2);
    launch("neighbour", neighbour_kernel<false>, {1, threads}, nullptr, out.data());
    for (int i = 0; i < threads; ++i)
      wrong += out[static_cast<std::size_t>(i)] != (i + 1) % threads ? 1 : 0;
  }
  EXPECT_GT(wrong, 0);
}

TEST(Launch, RefusedLaunchNamesOperationAndShape) {
  try {
    launch("divergent", divergent_kernel, {2, 1025}, nullptr);
    FAIL() << "expected an error";
  } catch (const DeviceError& error) {
    EXPECT_STREQ(error.what(),
                 "divergent: launch of 2x1x1 blocks of 1025x1 threads with 0 bytes of shared memory failed: "
                 "invalid configuration argument");
  }
}

}  // namespace
}  // namespace dnas
