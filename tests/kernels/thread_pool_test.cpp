#include "core/thread_pool.hpp"

#include "core/parallel_for.hpp"
#include "support/child_process.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using namespace std::chrono_literals;

/// How often each index was called. Plain integers: a race detector sees two threads that run the same one.
std::vector<int> calls(int threads, std::int64_t count) {
  std::vector<int> times(static_cast<std::size_t>(count));
  parallel_for(Context::cpu(threads), count, [&](std::int64_t i) { ++times[static_cast<std::size_t>(i)]; });
  return times;
}

class ThreadPool : public ::testing::TestWithParam<std::tuple<int, std::int64_t>> {};

TEST_P(ThreadPool, RunsEveryIndexOnce) {
  const auto [threads, count] = GetParam();
  for (int repeat = 0; repeat < 20; ++repeat)
    ASSERT_EQ(calls(threads, count), std::vector<int>(static_cast<std::size_t>(count), 1));
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPool,
                         ::testing::Combine(::testing::Values(1, 2, 3, 16),
                                            ::testing::Values(0, 1, 2, 3, 15, 16, 17, 1000)));

TEST(ThreadPool, RunsMoreIndicesThanATicketHolds) {
  const std::vector<int> times = calls(2, (std::int64_t{1} << 24) + 5);
  EXPECT_EQ(std::count(times.begin(), times.end(), 1), static_cast<std::ptrdiff_t>(times.size()));
}

TEST(ThreadPool, RunsThousandsOfShortJobs) {
  // Jobs of changing size, body and width: a worker that comes late must not touch the next one.
  std::array<std::int64_t, 7> values{};
  for (int job = 0; job < 20000; ++job) {
    values.fill(-1);
    const std::int64_t count = 2 + job % 6;
    parallel_for(Context::cpu(2 + job % 3), count,
                 [&values, job](std::int64_t i) { values[static_cast<std::size_t>(i)] = job + i; });
    for (std::int64_t i = 0; i < 7; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], i < count ? job + i : -1) << "job " << job;
  }
}

TEST(ThreadPool, WritesOfTheCallerAreSeenByWorkersAndBack) {
  std::vector<std::int64_t> data(64);
  for (std::int64_t round = 1; round <= 2000; ++round) {
    parallel_for(Context::cpu(4), 64, [&](std::int64_t i) { data[static_cast<std::size_t>(63 - i)] += round; });
    ASSERT_EQ(std::accumulate(data.begin(), data.end(), std::int64_t{0}), 64 * round * (round + 1) / 2);
  }
}

TEST(ThreadPool, SeveralThreadsWorkAtOnce) {
  // Each of the four indices waits for the others, so it takes four threads to end.
  std::atomic<int> arrived{0};
  std::atomic<int> gave_up{0};
  parallel_for(Context::cpu(4), 4, [&](std::int64_t) {
    arrived.fetch_add(1);
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (arrived.load() < 4) {
      if (std::chrono::steady_clock::now() > end) {
        gave_up.fetch_add(1);
        return;
      }
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(gave_up.load(), 0);
}

TEST(ThreadPool, WakesWorkersThatSleep) {
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(2ms);
    std::atomic<int> arrived{0};
    const auto end = std::chrono::steady_clock::now() + 30s;
    parallel_for(Context::cpu(2), 2, [&](std::int64_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 2 && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
    });
    ASSERT_LT(std::chrono::steady_clock::now(), end);
  }
}

TEST(ThreadPool, TakesNoMoreThreadsThanTheContextHas) {
  (void)calls(8, 64);  // eight threads are there
  std::mutex mutex;
  for (const int threads : {1, 2, 3}) {
    std::set<std::thread::id> ids;
    for (int job = 0; job < 50; ++job) {
      parallel_for(Context::cpu(threads), 16, [&](std::int64_t) {
        {
          const std::lock_guard lock(mutex);
          ids.insert(std::this_thread::get_id());
        }
        std::this_thread::sleep_for(20us);
      });
    }
    EXPECT_LE(ids.size(), static_cast<std::size_t>(threads));
    EXPECT_EQ(ids.count(std::this_thread::get_id()), 1U);
  }
}

TEST(ThreadPool, OneThreadRunsInOrderOnTheCaller) {
  std::vector<std::int64_t> order;
  parallel_for(Context::cpu(1), 5, [&](std::int64_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
}

TEST(ThreadPool, ServesSeveralCallersAtOnce) {
  std::array<std::int64_t, 4> sums{};
  std::vector<std::thread> callers;
  callers.reserve(sums.size());
  for (std::int64_t& sum : sums) {
    callers.emplace_back([&sum] {
      std::array<std::int64_t, 9> part{};
      for (int job = 0; job < 2000; ++job) {
        parallel_for(Context::cpu(3), 9,
                     [&part, job](std::int64_t i) { part[static_cast<std::size_t>(i)] += job * i; });
      }
      sum = std::accumulate(part.begin(), part.end(), std::int64_t{0});
    });
  }
  for (std::thread& caller : callers)
    caller.join();
  for (const std::int64_t sum : sums)
    EXPECT_EQ(sum, std::int64_t{36} * 1999 * 2000 / 2);
}

TEST(ThreadPool, RunsNestedCalls) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::array<std::array<int, 5>, 6> times{};
    parallel_for(Context::cpu(3), 6, [&](std::int64_t i) {
      parallel_for(Context::cpu(3), 5,
                   [&](std::int64_t j) { ++times[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)]; });
    });
    for (const auto& row : times)
      ASSERT_EQ(row, (std::array<int, 5>{1, 1, 1, 1, 1}));
  }
}

TEST(ThreadPool, TakesBodiesThatChange) {
  struct Count {
    std::atomic<int> calls{0};
    void operator()(std::int64_t) { calls.fetch_add(1); }
  } count;
  parallel_for(Context::cpu(2), 10, count);
  EXPECT_EQ(count.calls.load(), 10);  // the object itself was called, not a copy
}

TEST(ThreadPool, WaitingWorkersLeaveTheCoresToOthers) {
  (void)calls(4, 64);
  std::this_thread::sleep_for(50ms);
  const std::clock_t before = std::clock();  // of all threads of the process
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.1);
}

TEST(ThreadPool, StartsAnewInTheChildOfAFork) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer ends children of programs with threads that start threads themselves";
#else
  (void)calls(3, 64);
  const pid_t child = test::start_child([] {
    for (int job = 0; job < 100; ++job)
      if (calls(3, 64) != std::vector<int>(64, 1)) return 1;
    return 0;
  });
  EXPECT_EQ(test::wait_for(child), 0);
  EXPECT_EQ(calls(3, 64), std::vector<int>(64, 1));
#endif
}

}  // namespace
}  // namespace dnas::kernels
