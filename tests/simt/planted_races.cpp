#include "core/launch.cuh"
#include "core/shared_memory.cuh"
#include "simt/executor.hpp"
#include "simt/planted_bugs.cuh"

#include <gtest/gtest.h>

#include <vector>

// Built with ThreadSanitizer, to which every CUDA thread is a thread: a missing barrier is a race under any schedule.
// Right kernels must cause no report, wrong ones at least one. A report is made once in a process: each kernel occurs
// in one expectation, and each schedule has a process of its own.

namespace {

volatile int reports = 0;

}  // namespace

// Called inside the sanitizer, which must not look at it.
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void* report);
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void* /*report*/) {
  reports = reports + 1;
}

namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using kernels::cuda::shared_bytes;
using planted::Meeting;
using planted::Missing;
using planted::threads;

template <typename Body>
bool races(Body&& body) {
  reports = 0;
  body();
  return reports > 0;
}

template <bool Barrier>
void run_neighbour() {
  std::vector<int> out(threads);
  launch("neighbour", planted::neighbour<Barrier>, {1, threads, shared_bytes<int>(threads)}, nullptr, out.data(), -1);
}

/// The same in an array that is not of SharedMemory.
template <bool Barrier>
__global__ void static_neighbour(int* out) {
  __shared__ int shared[threads];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = i;
  if constexpr (Barrier) __syncthreads();
  out[blockIdx.x * threads + threadIdx.x] = shared[(i + 1) % threads];
}

template <bool Barrier>
void run_static_neighbour() {
  std::vector<int> out(5 * threads);
  launch("static_neighbour", static_neighbour<Barrier>, {5, threads}, nullptr, out.data());
}

template <Meeting How>
void run_lane_neighbour() {
  std::vector<int> out(32);
  launch("lane_neighbour", planted::lane_neighbour<How>, {1, 32, shared_bytes<int>(32)}, nullptr, out.data());
}

template <int Buffers>
void run_rotate() {
  std::vector<int> data(threads);
  launch("rotate", planted::rotate<Buffers>, {1, threads, Buffers * shared_bytes<int>(threads)}, nullptr, data.data(),
         5);
}

template <Missing What>
void run_copy() {
  const std::vector<int> from(threads * 4);
  std::vector<int> to(threads * 4);
  launch("copy_neighbour", planted::copy_neighbour<What>, {1, threads, shared_bytes<int4>(threads)}, nullptr,
         reinterpret_cast<const int4*>(from.data()), reinterpret_cast<int4*>(to.data()));
}

template <bool LastSync>
void run_pipeline() {
  constexpr int steps = 6;
  const std::vector<int> from(steps * 32 * 4);
  std::vector<int> to(from.size());
  launch("pipeline", planted::pipeline<1, LastSync>, {1, 32, shared_bytes<int4>(64)}, nullptr,
         reinterpret_cast<const int4*>(from.data()), reinterpret_cast<int4*>(to.data()), steps);
}

template <bool FenceBefore, bool FenceAfter>
void run_last_block() {
  constexpr int blocks = 20;
  std::vector<int> partial(blocks);
  unsigned arrived = 0;
  int sum = 0;
  launch("last_block", planted::last_block<FenceBefore, FenceAfter>, {blocks, 32, 16}, nullptr, partial.data(),
         &arrived, &sum);
}

class Planted : public testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { set_schedule(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Schedules, Planted, testing::ValuesIn(all_schedules));

TEST_P(Planted, RightKernelsDoNotRace) {
  EXPECT_FALSE(races(run_neighbour<true>));
  EXPECT_FALSE(races(run_static_neighbour<true>));
  EXPECT_FALSE(races(run_lane_neighbour<Meeting::sync_warp>));
  EXPECT_FALSE(races(run_rotate<2>));
  EXPECT_FALSE(races(run_copy<Missing::nothing>));
  EXPECT_FALSE(races(run_pipeline<true>));
  EXPECT_FALSE((races(run_last_block<true, true>)));
}

TEST_P(Planted, MissingBarriersRace) {
  EXPECT_TRUE(races(run_neighbour<false>));
  EXPECT_TRUE(races(run_static_neighbour<false>));
  EXPECT_TRUE(races(run_rotate<1>));
  EXPECT_TRUE(races(run_copy<Missing::barrier>));
}

TEST_P(Planted, LanesThatDoNotSynchroniseRace) {
  EXPECT_TRUE(races(run_lane_neighbour<Meeting::none>));
  EXPECT_TRUE(races(run_lane_neighbour<Meeting::shuffle>));
  EXPECT_TRUE(races(run_pipeline<false>));
}

TEST_P(Planted, MissingWaitForACopyRaces) {
  EXPECT_TRUE(races(run_copy<Missing::wait>));
}

TEST_P(Planted, MissingFencesRace) {
  EXPECT_TRUE((races(run_last_block<false, true>)));
  EXPECT_TRUE((races(run_last_block<true, false>)));
  EXPECT_TRUE((races(run_last_block<false, false>)));
}

TEST_P(Planted, ThreadsThatWriteOneCellRace) {
  int cell = 0;
  EXPECT_TRUE(races([&] { launch("one_cell", planted::one_cell<false>, {1, 8}, nullptr, &cell); }));
  EXPECT_TRUE(races([&] { launch("one_cell", planted::one_cell<true>, {2, 1}, nullptr, &cell); }));
}

}  // namespace
}  // namespace dnas::simt
