#include "core/launch.cuh"
#include "simt/executor.hpp"

#include <cuda_bf16.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// Shuffles, votes and masks, against what the CUDA C++ programming guide says of them.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using testing::HasSubstr;

constexpr unsigned everyone = 0xFFFFFFFFU;

template <typename... Parameters, typename... Arguments>
std::string error_of(void (*kernel)(Parameters...), unsigned threads, Arguments&&... arguments) {
  try {
    launch("test", kernel, {1, threads}, nullptr, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class ExecutorWarp : public testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { set_schedule(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Schedules, ExecutorWarp, testing::ValuesIn(all_schedules));

enum class Kind { index, up, down, exclusive_or };

template <Kind What, typename T>
__global__ void shuffle_kernel(const T* in, T* out, int argument, int width) {
  const T value = in[threadIdx.x];
  T result{};
  if constexpr (What == Kind::index) result = __shfl_sync(everyone, value, argument, width);
  if constexpr (What == Kind::up) result = __shfl_up_sync(everyone, value, static_cast<unsigned>(argument), width);
  if constexpr (What == Kind::down) result = __shfl_down_sync(everyone, value, static_cast<unsigned>(argument), width);
  if constexpr (What == Kind::exclusive_or) result = __shfl_xor_sync(everyone, value, argument, width);
  out[threadIdx.x] = result;
}

/// The lane that is read, spelt out segment by segment.
int source(Kind kind, int lane, int argument, int width) {
  const int begin = lane / width * width;
  const int end = begin + width;
  int at = lane;
  switch (kind) {
    case Kind::index:
      at = begin + (argument % width + width) % width;
      break;
    case Kind::up:
      at = lane - argument < begin ? lane : lane - argument;
      break;
    case Kind::down:
      at = lane + argument >= end ? lane : lane + argument;
      break;
    case Kind::exclusive_or:
      at = (lane ^ argument) >= end ? lane : lane ^ argument;
      break;
  }
  return at;
}

template <Kind What, typename T>
void expect_shuffles(const std::vector<T>& in) {
  for (const int width : {32, 16, 8, 1}) {
    for (const int argument : {0, 1, 3, 5, 16, 31}) {
      std::vector<T> out(in.size());
      launch("shuffle", shuffle_kernel<What, T>, {1, 64}, nullptr, in.data(), out.data(), argument, width);
      for (int i = 0; i < 64; ++i) {
        const int from = i / 32 * 32 + source(What, i % 32, argument, width);
        ASSERT_EQ(out[static_cast<std::size_t>(i)], in[static_cast<std::size_t>(from)])
            << "thread " << i << ", argument " << argument << ", width " << width;
      }
    }
  }
}

TEST_P(ExecutorWarp, ShufflesReadTheLaneTheyName) {
  std::vector<double> wide;
  std::vector<int> narrow;
  for (int i = 0; i < 64; ++i) {
    wide.push_back(i + 0.25);
    narrow.push_back(-i);
  }
  expect_shuffles<Kind::index>(wide);
  expect_shuffles<Kind::up>(narrow);
  expect_shuffles<Kind::down>(wide);
  expect_shuffles<Kind::exclusive_or>(narrow);
}

__global__ void vote_kernel(unsigned* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  out[threadIdx.x * 3] = __ballot_sync(everyone, lane % 3 == 0 ? 1 : 0);
  out[threadIdx.x * 3 + 1] = static_cast<unsigned>(__any_sync(everyone, threadIdx.x == 40 ? 2 : 0));
  out[threadIdx.x * 3 + 2] = static_cast<unsigned>(__all_sync(everyone, threadIdx.x != 40 ? 1 : 0));
}

TEST_P(ExecutorWarp, Votes) {
  std::vector<unsigned> out(64 * 3);
  launch("vote", vote_kernel, {1, 64}, nullptr, out.data());
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(out[i * 3], 0x49249249U);
    EXPECT_EQ(out[i * 3 + 1], i < 32 ? 0U : 1U);
    EXPECT_EQ(out[i * 3 + 2], i < 32 ? 1U : 0U);
  }
}

/// Both halves of a warp work with masks of their own, a different number of times, and meet again.
__global__ void halves_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int value = lane;
  if (lane < 16) {
    for (int offset = 8; offset > 0; offset /= 2)
      value += __shfl_xor_sync(0x0000FFFFU, value, offset);
  } else {
    value = static_cast<int>(__ballot_sync(0xFFFF0000U, lane % 2) >> 16);
  }
  __syncwarp();
  out[lane] = value;
}

TEST_P(ExecutorWarp, DisjointMasksDoNotWaitForEachOther) {
  std::vector<int> out(32);
  launch("halves", halves_kernel, {1, 32}, nullptr, out.data());
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i)], i < 16 ? 120 : 0xAAAA);
}

__global__ void ragged_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (lane == 3) return;
  out[threadIdx.x] = __shfl_sync(everyone, lane, 5) + static_cast<int>(__popc(__ballot_sync(everyone, 1))) * 100;
}

TEST_P(ExecutorWarp, LanesThatReturnedOrNeverWereAreNotWaitedFor) {
  std::vector<int> out(40, -1);
  launch("ragged", ragged_kernel, {1, 40}, nullptr, out.data());
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i)], i % 32 == 3 ? -1 : (i < 32 ? 3105 : 705)) << i;
}

template <typename T>
__global__ void absent_source_kernel(T* out, T value) {
  if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xFFU, value, 20);
}

TEST_P(ExecutorWarp, UndefinedValuesAreNaN) {
  std::vector<float> f(8, 0.0F);
  launch("absent_source", absent_source_kernel<float>, {1, 32}, nullptr, f.data(), 1.0F);
  std::vector<__nv_bfloat16> b(8);
  launch("absent_source", absent_source_kernel<__nv_bfloat16>, {1, 32}, nullptr, b.data(), __float2bfloat16_rn(1.0F));
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(isnan(f[i]));
    EXPECT_TRUE(isnan(__bfloat162float(b[i])));
  }
}

__global__ void conflicting_masks_kernel(int* out) {
  out[threadIdx.x] = static_cast<int>(__ballot_sync(threadIdx.x < 8 ? 0xFFFFU : everyone, 1));
}

TEST_P(ExecutorWarp, MasksThatConflictAreAnError) {
  std::vector<int> out(32);
  EXPECT_THAT(
      error_of(conflicting_masks_kernel, 32, out.data()),
      testing::ContainsRegex("^block \\(0, 0, 0\\), thread \\([0-9]+, 0, 0\\): the mask of the warp operation at "
                             "executor_warp_test.cpp:[0-9]+ conflicts with that of lanes that wait"));
}

enum class Meet { ballot_and_shuffle, shuffles, synchronisations };

template <Meet What>
__global__ void different_operations_kernel(int* out) {
  const bool few = threadIdx.x < 8;
  int result = 0;
  if constexpr (What == Meet::ballot_and_shuffle)
    result = few ? static_cast<int>(__ballot_sync(everyone, 1)) : __shfl_sync(everyone, 1, 0);
  if constexpr (What == Meet::shuffles)
    result = few ? __shfl_up_sync(everyone, 1, 1U) : __shfl_down_sync(everyone, 1, 1U);
  if constexpr (What == Meet::synchronisations) {
    if (few) {
      __syncwarp();
    } else {
      __syncwarp();
    }
  }
  out[threadIdx.x] = result;
}

TEST_P(ExecutorWarp, DifferentOperationsOfOneMaskAreAnError) {
  std::vector<int> out(32);
  for (const auto kernel :
       {different_operations_kernel<Meet::ballot_and_shuffle>, different_operations_kernel<Meet::shuffles>,
        different_operations_kernel<Meet::synchronisations>}) {
    EXPECT_THAT(error_of(kernel, 32, out.data()), HasSubstr("lanes of one mask meet in different warp operations"));
  }
}

__global__ void unnamed_lane_kernel() {
  __syncwarp(0xFFFFU);
}

TEST_P(ExecutorWarp, MaskWithoutTheCallerIsAnError) {
  EXPECT_THAT(error_of(unnamed_lane_kernel, 32), HasSubstr("does not name the calling lane"));
}

__global__ void bad_width_kernel(int* out) {
  out[threadIdx.x] = __shfl_down_sync(everyone, 1, 1, 12);
}

TEST_P(ExecutorWarp, WidthThatIsNoPowerOfTwoIsAnError) {
  std::vector<int> out(32);
  EXPECT_THAT(error_of(bad_width_kernel, 32, out.data()), HasSubstr("a shuffle of width 12"));
}

}  // namespace
}  // namespace dnas::simt
