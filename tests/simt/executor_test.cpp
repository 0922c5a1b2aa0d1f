#include "simt/executor.hpp"

#include "core/launch.cuh"
#include "simt/planted_bugs.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

// Barriers, fences and schedules: the executor has to run what is right and to notice what is wrong.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using planted::threads;
using testing::HasSubstr;

template <typename... Parameters, typename... Arguments>
std::string error_of(void (*kernel)(Parameters...), const kernels::cuda::LaunchShape& shape, Arguments&&... arguments) {
  try {
    launch("test", kernel, shape, nullptr, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<int> rotated(int by) {
  std::vector<int> values(threads);
  for (int i = 0; i < threads; ++i)
    values[static_cast<std::size_t>(i)] = (i + by + threads) % threads;
  return values;
}

constexpr std::size_t int_per_thread = kernels::cuda::shared_bytes<int>(threads);

class Executor : public testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { set_schedule(GetParam()); }
};

__global__ void number_kernel(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

TEST_P(Executor, RunsEveryThreadOnce) {
  std::vector<int> out(3 * 2 * 4 * 5 * 7 * 2, 0);
  launch("number", number_kernel, {dim3(3, 2, 4), dim3(5, 7, 2)}, nullptr, out.data());
  EXPECT_EQ(out, std::vector<int>(out.size(), 1));
}

TEST_P(Executor, BarrierMakesWritesVisible) {
  for (const int direction : {1, -1}) {
    std::vector<int> out(threads, -2);
    launch("neighbour", planted::neighbour<true>, {1, threads, int_per_thread}, nullptr, out.data(), direction);
    EXPECT_EQ(out, rotated(direction));
  }
  std::vector<int> data = rotated(0);
  launch("rotate", planted::rotate<2>, {1, threads, 2 * int_per_thread}, nullptr, data.data(), 5);
  EXPECT_EQ(data, rotated(5));
}

/// out: threads with i < n, whether all are below n, whether any is above it.
__global__ void count_kernel(int* out, int n) {
  const int i = static_cast<int>(threadIdx.x);
  const int below = __syncthreads_count(i < n ? 1 : 0);
  const int all = __syncthreads_and(i < n ? 1 : 0);
  const int any = __syncthreads_or(i > n ? 1 : 0);
  out[i] = below * 4 + all * 2 + any;
}

TEST_P(Executor, BarriersCountPredicates) {
  std::vector<int> out(96);
  launch("count", count_kernel, {1, 96}, nullptr, out.data(), 10);
  EXPECT_EQ(out, std::vector<int>(96, 10 * 4 + 1));
  launch("count", count_kernel, {1, 96}, nullptr, out.data(), 96);
  EXPECT_EQ(out, std::vector<int>(96, 96 * 4 + 2));
}

TEST_P(Executor, LastBlockSeesAllOthers) {
  constexpr int blocks = 200;
  std::vector<int> partial(blocks, -1);
  unsigned arrived = 0;
  int sum = 0;
  launch("last_block", planted::last_block<true, true>, {blocks, 64, 16}, nullptr, partial.data(), &arrived, &sum);
  EXPECT_EQ(sum, blocks * (blocks + 1) / 2);
  EXPECT_EQ(arrived, 0U);
}

__global__ void producer_consumer_kernel(int* flag, int* out) {
  if (threadIdx.x == 0) {
    while (atomicAdd(flag, 0) == 0)
      __nanosleep(100);
    *out = 7;
  } else if (threadIdx.x == 40) {
    atomicExch(flag, 1);
  } else if (threadIdx.x == 127) {
    while (atomicAdd(flag, 0) == 0)
      __nanosleep(100);
  }
}

TEST_P(Executor, SleepingThreadsLetOthersRun) {
  int flag = 0;
  int out = 0;
  launch("producer_consumer", producer_consumer_kernel, {1, threads}, nullptr, &flag, &out);
  EXPECT_EQ(out, 7);
}

/// Half of the first warp waits for the block, the other half for the warp.
__global__ void divergent_kernel() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    (void)__shfl_down_sync(0xFFFFFFFFU, 1, 1);
  }
}

TEST_P(Executor, DeadlockIsAnError) {
  const std::string error = error_of(divergent_kernel, {1, 64});
  EXPECT_THAT(error, testing::StartsWith("block (0, 0, 0): cannot go on: 32 of 64 threads have returned; "));
  EXPECT_THAT(error, testing::ContainsRegex("; 16 wait at the barrier at executor_test.cpp:[0-9]+, the first of them "
                                            "thread \\(0, 0, 0\\)"));
  EXPECT_THAT(error, testing::ContainsRegex("; 16 wait in the warp operation at executor_test.cpp:[0-9]+, the first of "
                                            "them thread \\(16, 0, 0\\)"));
}

template <bool Same>
__global__ void barrier_in_branch_kernel(int* out) {
  if (Same || threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

TEST_P(Executor, TwoBarriersThatMeetAreAnError) {
  std::vector<int> out(64, 0);
  EXPECT_EQ(error_of(barrier_in_branch_kernel<true>, {1, 64}, out.data()), "no error");
  EXPECT_EQ(out, std::vector<int>(64, 1));
  const std::string error = error_of(barrier_in_branch_kernel<false>, {dim3(1, 2), 64}, out.data());
  EXPECT_THAT(error, testing::ContainsRegex("^block \\(0, [01], 0\\), thread \\([0-9]+, 0, 0\\): the barrier at "
                                            "executor_test.cpp:[0-9]+ meets another at executor_test.cpp:[0-9]+"));
}

__global__ void early_return_kernel(int* out) {
  if (threadIdx.x % 2 == 1) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST_P(Executor, ReturnedThreadsAreNotWaitedFor) {
  std::vector<int> out(64, 0);
  launch("early_return", early_return_kernel, {1, 64}, nullptr, out.data());
  for (std::size_t i = 0; i < out.size(); ++i)
    EXPECT_EQ(out[i], i % 2 == 0 ? 1 : 0);
  set_strict_return(true);
  const std::string error = error_of(early_return_kernel, {1, 64}, out.data());
  set_strict_return(false);
  EXPECT_THAT(error, HasSubstr("is complete with 32 of 64 threads, since the others have returned"));
}

__global__ void throwing_kernel(int* out) {
  out[blockIdx.x * blockDim.x + threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 3) throw std::runtime_error("no");
  __syncthreads();
}

TEST_P(Executor, IsUsableAfterAnError) {
  std::vector<int> out(threads);
  std::vector<int> ones(4 * threads);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(error_of(throwing_kernel, {4, threads}, ones.data()),
                testing::ContainsRegex("thread \\(3, 0, 0\\): exception in the kernel: no"));
    launch("neighbour", planted::neighbour<true>, {1, threads, int_per_thread}, nullptr, out.data(), 1);
    EXPECT_EQ(out, rotated(1));
  }
}

INSTANTIATE_TEST_SUITE_P(Schedules, Executor, testing::ValuesIn(all_schedules));

__global__ void launching_kernel(int* out) {
  launch("number", number_kernel, {1, 1}, nullptr, out);
}

TEST(ExecutorErrors, KernelsDoNotLaunchKernels) {
  int out = 0;
  EXPECT_THAT(error_of(launching_kernel, {1, 1}, &out), HasSubstr("a kernel launches a kernel"));
}

TEST(ExecutorErrors, NameTheSchedule) {
  set_schedule(Schedule::shuffled);
  set_seed(42);
  std::vector<int> out(threads);
  EXPECT_THAT(error_of(throwing_kernel, {1, threads}, out.data()), HasSubstr("[schedule shuffled, seed 42]"));
  set_seed(1);
  set_schedule(Schedule::by_warp);
  EXPECT_THAT(error_of(throwing_kernel, {1, threads}, out.data()), HasSubstr("[schedule by_warp]"));
}

/// Who comes first, drawn by the schedule: each thread takes a number.
__global__ void order_kernel(unsigned* tickets, unsigned* order) {
  for (int round = 0; round < 3; ++round) {
    order[(blockIdx.x * 3 + static_cast<unsigned>(round)) * blockDim.x + atomicAdd(&tickets[blockIdx.x], 1U) % 64] =
        threadIdx.x;
    __syncthreads();
  }
}

std::vector<unsigned> order_of(Schedule schedule, std::uint64_t seed = 1) {
  constexpr unsigned blocks = 8;
  set_schedule(schedule);
  set_seed(seed);
  std::vector<unsigned> tickets(blocks, 0);
  std::vector<unsigned> order(std::size_t{blocks} * 3 * 64, 0);
  launch("order", order_kernel, {blocks, 64}, nullptr, tickets.data(), order.data());
  set_seed(1);
  return order;
}

TEST(ExecutorSchedules, AreWhatTheyAreCalled) {
  const std::vector<unsigned> ascending = order_of(Schedule::ascending);
  const std::vector<unsigned> descending = order_of(Schedule::descending);
  const std::vector<unsigned> by_warp = order_of(Schedule::by_warp);
  for (unsigned i = 0; i < ascending.size(); ++i) {
    ASSERT_EQ(ascending[i], i % 64);
    ASSERT_EQ(descending[i], 63 - i % 64);
    ASSERT_EQ(by_warp[i], (i + 32) % 64);  // the last warp first
  }
}

TEST(ExecutorSchedules, ShuffledIsGivenBySeedAndBlockAlone) {
  const std::vector<unsigned> once = order_of(Schedule::shuffled, 5);
  set_workers(1);
  const std::vector<unsigned> with_one_worker = order_of(Schedule::shuffled, 5);
  set_workers(3);
  const std::vector<unsigned> with_three_workers = order_of(Schedule::shuffled, 5);
  set_workers(0);
  EXPECT_EQ(once, with_one_worker);
  EXPECT_EQ(once, with_three_workers);
  EXPECT_NE(once, order_of(Schedule::shuffled, 6));
  const auto block = [&](std::ptrdiff_t b) {
    return std::vector(once.begin() + b * 192, once.begin() + (b + 1) * 192);
  };
  EXPECT_NE(block(0), block(1));
}

__global__ void block_order_kernel(unsigned* tickets, unsigned* order) {
  order[atomicAdd(tickets, 1U)] = blockIdx.x;
}

TEST(ExecutorSchedules, ShuffledBlocksComeInAnyOrder) {
  set_workers(1);  // several would take turns as the operating system likes
  set_schedule(Schedule::shuffled);
  std::vector<int> was_first(3, 0);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    set_seed(seed);
    unsigned tickets = 0;
    std::vector<unsigned> order(3);
    launch("block_order", block_order_kernel, {3, 1}, nullptr, &tickets, order.data());
    EXPECT_THAT(order, testing::UnorderedElementsAre(0, 1, 2));
    was_first.at(order[0]) += 1;
  }
  set_seed(1);
  set_workers(0);
  EXPECT_THAT(was_first, testing::Each(testing::Ge(10)));
}

TEST(ExecutorSchedules, ManyBlocksOfAllWorkersAreExecuted) {
  for (const unsigned workers : {1U, 2U, 5U}) {
    set_workers(workers);
    for (const Schedule schedule : all_schedules) {
      set_schedule(schedule);
      std::vector<int> out(777 * 3, 0);
      launch("number", number_kernel, {777, 3}, nullptr, out.data());
      EXPECT_EQ(out, std::vector<int>(out.size(), 1));
    }
  }
  set_workers(0);
}

}  // namespace
}  // namespace dnas::simt
