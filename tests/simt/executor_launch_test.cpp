#include "core/launch.cuh"
#include "simt/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

// What a launch accepts, and what is recorded of it.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using kernels::cuda::LaunchShape;

__global__ void count_kernel(int* runs) {
  atomicAdd(runs, 1);
}
__global__ void other_kernel(int* runs) {
  atomicAdd(runs, 1000);
}

__global__ void third_kernel(int* runs) {
  atomicAdd(runs, 1000000);
}

std::string outcome(const LaunchShape& shape, void (*kernel)(int*) = count_kernel) {
  const LaunchRecorder recorder;  // large grids take their time
  try {
    launch("count", kernel, shape, nullptr, nullptr);
  } catch (const DeviceError& error) {
    EXPECT_EQ(recorder.count(), 0U);
    return error.what();
  }
  EXPECT_EQ(recorder.count(), 1U);
  return "accepted";
}

TEST(ExecutorLaunch, RefusesWhatTheDeviceRefuses) {
  const auto invalid = testing::EndsWith("failed: invalid configuration argument");
  EXPECT_EQ(outcome({1, 1024}), "accepted");
  EXPECT_THAT(outcome({1, 1025}), invalid);
  EXPECT_THAT(outcome({1, dim3(1, 1025)}), invalid);
  EXPECT_THAT(outcome({1, dim3(33, 32)}), invalid);
  EXPECT_EQ(outcome({1, dim3(4, 4, 64)}), "accepted");
  EXPECT_THAT(outcome({1, dim3(4, 3, 65)}), invalid);
  EXPECT_THAT(outcome({1, 0}), invalid);
  EXPECT_THAT(outcome({0, 1}), invalid);
  EXPECT_THAT(outcome({dim3(1, 1, 0), 1}), invalid);
  EXPECT_EQ(outcome({dim3(0x7FFFFFFF, 65535, 65535), 1}), "accepted");
  EXPECT_THAT(outcome({0x80000000U, 1}), invalid);
  EXPECT_THAT(outcome({dim3(1, 65536), 1}), invalid);
  EXPECT_THAT(outcome({dim3(1, 1, 65536), 1}), invalid);
  EXPECT_EQ(outcome({1, 1, 227 * 1024}), "accepted");
  EXPECT_EQ(
      outcome({1, 1, 227 * 1024 + 1}),
      "count: launch of 1x1x1 blocks of 1x1 threads with 232449 bytes of shared memory failed: invalid argument; a "
      "block of this device may have 232448");
}

TEST(ExecutorLaunch, OneLaunchDoesNotTakeSharedMemoryFromTheNext) {
  const LaunchRecorder recorder;
  launch("third", third_kernel, {1, 1, 100 * 1024}, nullptr, nullptr);
  launch("third", third_kernel, {1, 1, 60 * 1024}, nullptr, nullptr);
  // As a graph does that was captured in between.
  const cudaLaunchConfig_t config{1, 1, 100 * 1024, nullptr};
  EXPECT_EQ(cudaLaunchKernelEx(&config, third_kernel, nullptr), cudaSuccess);
}

TEST(ExecutorLaunch, MoreThanTheUsualSharedMemoryIsAskedForFirst) {
  cudaLaunchConfig_t config{1, 1, 48 * 1024 + 1, nullptr};
  const LaunchRecorder recorder;
  EXPECT_EQ(cudaLaunchKernelEx(&config, other_kernel, nullptr), cudaErrorInvalidValue);
  ASSERT_EQ(cudaFuncSetAttribute(other_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 * 1024 + 1),
            cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelEx(&config, other_kernel, nullptr), cudaSuccess);
  config.dynamicSmemBytes += 1;
  EXPECT_EQ(cudaLaunchKernelEx(&config, other_kernel, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(other_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, -1), cudaErrorInvalidValue);
}

struct Bulky {
  char name;
  double values[500];
  std::int32_t count;
};

__global__ void bulky_kernel(const __grid_constant__ Bulky bulky, std::int64_t* out) {
  out[threadIdx.x] = bulky.name + static_cast<std::int64_t>(bulky.values[499]) + bulky.count;
}

TEST(ExecutorLaunch, ParametersArePassedByValue) {
  Bulky bulky{'a', {}, 5};
  bulky.values[499] = 1000.0;
  std::vector<std::int64_t> out(64, 0);
  launch("bulky", bulky_kernel, {1, 64}, nullptr, bulky, out.data());
  EXPECT_EQ(out, std::vector<std::int64_t>(64, 'a' + 1005));
  const LaunchRecorder recorder;
  launch("bulky", bulky_kernel, {1, 64}, nullptr, bulky, out.data());
  EXPECT_EQ(recorder.launches().at(0).parameter_bytes, 4016U + 8U);
  // What does not fit does not compile.
  static_assert(parameter_bytes<char, std::int64_t, char[3]>() == 19);
}

TEST(ExecutorLaunch, RecordedLaunchesAreNotExecuted) {
  int runs = 0;
  {
    const auto recorder = record_launches();
    launch("count", count_kernel, {dim3(3, 2), dim3(32, 4), 100}, nullptr, &runs);
    launch("other", other_kernel, {7, 64, 50000}, nullptr, &runs);
    std::thread([&] { launch("count", count_kernel, {1, 1}, nullptr, &runs); }).join();
    ASSERT_EQ(recorder.count(), 3U);
    const std::vector<LaunchRecord> launches = recorder.launches();
    EXPECT_EQ(launches[0].grid.x * 100 + launches[0].grid.y * 10 + launches[0].grid.z, 321U);
    EXPECT_EQ(launches[0].block.x, 32U);
    EXPECT_EQ(launches[0].block.y, 4U);
    EXPECT_EQ(launches[0].shared_bytes, 100U);
    EXPECT_EQ(launches[0].parameter_bytes, sizeof(void*));
    EXPECT_EQ(launches[1].shared_bytes, 50000U);
    EXPECT_EQ(launches[0].kernel, launches[2].kernel);
    EXPECT_NE(launches[0].kernel, launches[1].kernel);
    {
      const LaunchRecorder inner;
      launch("count", count_kernel, {1, 1}, nullptr, &runs);
      EXPECT_EQ(inner.count(), 1U);
    }
    EXPECT_EQ(recorder.count(), 3U);
    launch("count", count_kernel, {1, 1}, nullptr, &runs);
    EXPECT_EQ(recorder.count(), 4U);
  }
  EXPECT_EQ(runs, 0);
  launch("count", count_kernel, {3, 5}, nullptr, &runs);
  EXPECT_EQ(runs, 15);
}

TEST(ExecutorLaunch, LaunchesFromSeveralThreadsTakeTurns) {
  std::vector<int> runs(4, 0);
  std::vector<std::thread> launchers;
  for (int& mine : runs) {
    launchers.emplace_back([&mine] {
      for (int i = 0; i < 20; ++i)
        launch("count", count_kernel, {5, 64}, nullptr, &mine);
    });
  }
  for (std::thread& launcher : launchers)
    launcher.join();
  EXPECT_EQ(runs, std::vector<int>(4, 20 * 5 * 64));
}

}  // namespace
}  // namespace dnas::simt
