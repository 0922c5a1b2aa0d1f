#include "core/launch.cuh"
#include "simt/executor.hpp"
#include "simt/executor/sanitizers.hpp"
#include "simt/planted_bugs.cuh"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

// Bugs whose result depends on the order of threads: each shows as wrong values under some schedule.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using kernels::cuda::shared_bytes;
using planted::threads;

/// Under which schedules the values are wrong, 'X', or right, '.': ascending, descending, by_warp, and seeds 1 to 5.
std::string wrong_under(const std::function<bool()>& right) {
  std::string result;
  for (const Schedule schedule : {Schedule::ascending, Schedule::descending, Schedule::by_warp}) {
    set_schedule(schedule);
    result += right() ? '.' : 'X';
  }
  set_schedule(Schedule::shuffled);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    set_seed(seed);
    result += right() ? '.' : 'X';
  }
  set_seed(1);
  return result;
}

bool is_rotated(const std::vector<int>& values, int by) {
  for (int i = 0; i < threads; ++i) {
    if (values[static_cast<std::size_t>(i)] != (i + by + threads) % threads) return false;
  }
  return true;
}

class ExecutorPlanted : public testing::Test {
 protected:
  void SetUp() override {
    if (thread_sanitizer) GTEST_SKIP() << "would be reported (planted_races.cpp)";
  }
};

std::string neighbour_wrong_under(int direction) {
  return wrong_under([direction] {
    std::vector<int> out(threads, -1);
    launch("neighbour", planted::neighbour<false>, {1, threads, shared_bytes<int>(threads)}, nullptr, out.data(),
           direction);
    return is_rotated(out, direction);
  });
}

TEST_F(ExecutorPlanted, MissingBarrierBeforeTheUpperNeighbour) {
  EXPECT_EQ(neighbour_wrong_under(1), "XXXXXXXX");
}

TEST_F(ExecutorPlanted, MissingBarrierBeforeTheLowerNeighbour) {
  EXPECT_EQ(neighbour_wrong_under(-1), "XXXXXXXX");
}

TEST_F(ExecutorPlanted, MissingSecondBarrier) {
  EXPECT_EQ(wrong_under([] {
              std::vector<int> data(threads);
              for (int i = 0; i < threads; ++i)
                data[static_cast<std::size_t>(i)] = i;
              launch("rotate", planted::rotate<1>, {1, threads, shared_bytes<int>(threads)}, nullptr, data.data(), 5);
              return is_rotated(data, 5);
            }),
            "XXXXXXXX");
}

template <planted::Meeting How>
bool lanes_right() {
  std::vector<int> out(32, -1);
  launch("lane_neighbour", planted::lane_neighbour<How>, {1, 32, shared_bytes<int>(32)}, nullptr, out.data());
  for (int i = 0; i < 32; ++i) {
    if (out[static_cast<std::size_t>(i)] != (i + 1) % 32) return false;
  }
  return true;
}

TEST_F(ExecutorPlanted, MissingWarpSynchronisation) {
  EXPECT_EQ(wrong_under(lanes_right<planted::Meeting::sync_warp>), "........");
  EXPECT_EQ(wrong_under(lanes_right<planted::Meeting::none>), "XXXXXXXX");
}

// Only ThreadSanitizer knows (planted_races.cpp): lanes that meet have written before, whatever the schedule.
TEST_F(ExecutorPlanted, ShuffleInsteadOfWarpSynchronisationIsNotSeenInValues) {
  EXPECT_EQ(wrong_under(lanes_right<planted::Meeting::shuffle>), "........");
}

std::vector<int> numbers(std::size_t count) {
  std::vector<int> result(count);
  for (std::size_t i = 0; i < count; ++i)
    result[i] = static_cast<int>(i);
  return result;
}

template <planted::Missing What>
bool copy_right() {
  static const std::vector<int> from = numbers(threads * 4);
  std::vector<int> to(threads * 4, -1);
  launch("copy_neighbour", planted::copy_neighbour<What>, {1, threads, shared_bytes<int4>(threads)}, nullptr,
         reinterpret_cast<const int4*>(from.data()), reinterpret_cast<int4*>(to.data()));
  for (std::size_t i = 0; i < threads * 4; ++i) {
    if (to[i] != from[(i + 4 * (threads - 1)) % (4 * threads)]) return false;
  }
  return true;
}

TEST_F(ExecutorPlanted, MissingWaitForACopy) {
  EXPECT_EQ(wrong_under(copy_right<planted::Missing::nothing>), "........");
  // At once is one of the times at which a copy may land, so `descending` is right by luck.
  EXPECT_EQ(wrong_under(copy_right<planted::Missing::wait>), "X.XXXXXX");
}

TEST_F(ExecutorPlanted, MissingBarrierAfterTheWaitForACopy) {
  EXPECT_EQ(wrong_under(copy_right<planted::Missing::barrier>), "XXXXXXXX");
}

template <int Pending, bool LastSync>
bool pipeline_right() {
  constexpr int steps = 6;
  const std::vector<int> from = numbers(steps * 32 * 4);
  std::vector<int> to(from.size(), -1);
  launch("pipeline", planted::pipeline<Pending, LastSync>, {1, 32, shared_bytes<int4>(64)}, nullptr,
         reinterpret_cast<const int4*>(from.data()), reinterpret_cast<int4*>(to.data()), steps);
  for (std::size_t i = 0; i < steps * 32; ++i) {
    if (to[4 * i + 1] != from[4 * (i / 32 * 32 + (i + 1) % 32) + 1]) return false;
  }
  return true;
}

TEST_F(ExecutorPlanted, WaitThatLeavesOneGroupTooMany) {
  EXPECT_EQ(wrong_under(pipeline_right<1, true>), "........");
  EXPECT_EQ(wrong_under(pipeline_right<2, true>), "X.XXXXXX");
}

TEST_F(ExecutorPlanted, BufferFilledBeforeAllHaveReadIt) {
  const std::string wrong = wrong_under(pipeline_right<1, false>);
  EXPECT_EQ(wrong.substr(0, 3), ".X.");  // a copy that lands late does no harm
  EXPECT_NE(wrong.substr(3), ".....");
}

}  // namespace
}  // namespace dnas::simt
