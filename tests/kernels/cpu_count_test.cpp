#include "core/cpu_count.hpp"

#include "support/child_process.hpp"
#include "support/temp_folder.hpp"

#include <sched.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string_view>

namespace dnas::kernels {
namespace {

using test::TempFolder;

void write(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  test::spill(file, text);
}

TEST(FirstNumber, IsTheOutermostLevelOfOmpNumThreads) {
  EXPECT_EQ(first_number("3"), 3);
  EXPECT_EQ(first_number(" 12 "), 12);
  EXPECT_EQ(first_number("4,2"), 4);
  EXPECT_EQ(first_number("4 ,2"), 4);
}

TEST(FirstNumber, IsNothingUnlessPositive) {
  for (const std::string_view text : {"", "0", "-2", "two", "3x", "99999999999", ","})
    EXPECT_EQ(first_number(text), std::nullopt) << text;
}

TEST(CgroupCpus, IsTheQuotaOfVersion2RoundedUp) {
  const TempFolder mount;
  write(mount / "job/task/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/task\n", mount.path()), 2);
  write(mount / "job/task/cpu.max", "20000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/task\n", mount.path()), 1);
}

TEST(CgroupCpus, IsTheLeastOfAllGroupsAbove) {
  const TempFolder mount;
  write(mount / "job/task/cpu.max", "800000 100000\n");
  write(mount / "job/cpu.max", "300000 100000\n");
  write(mount / "cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/task\n", mount.path()), 3);
  // In a container the group is the root of what is mounted.
  write(mount / "cpu.max", "200000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/\n", mount.path()), 2);
}

TEST(CgroupCpus, IsTheQuotaOfVersion1) {
  const TempFolder mount;
  write(mount / "cpu/job/cpu.cfs_quota_us", "400000\n");
  write(mount / "cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpus("9:cpuset:/other\n7:cpu,cpuacct:/job\n0::/\n", mount.path()), 4);
  write(mount / "cpu/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cgroup_cpus("7:cpu,cpuacct:/job\n", mount.path()), std::nullopt);
}

TEST(CgroupCpus, IsNothingWithoutALimit) {
  const TempFolder mount;
  EXPECT_EQ(cgroup_cpus("", mount.path()), std::nullopt);
  EXPECT_EQ(cgroup_cpus("no group at all\n0::/gone\n", mount.path()), std::nullopt);
  write(mount / "cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/\n", mount.path()), std::nullopt);
}

/// What a child process that was prepared by `prepare` would take.
template <typename Prepare>
int threads_after(Prepare prepare) {
  return test::wait_for(test::start_child([&] {
    prepare();
    return default_threads();
  }));
}

TEST(DefaultThreads, FollowOmpNumThreads) {
  EXPECT_EQ(threads_after([] { ::setenv("OMP_NUM_THREADS", "7,2", 1); }), 7);
}

TEST(DefaultThreads, FollowTheAffinityMask) {
  const auto one_processor = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(::sched_getcpu(), &set);
    ::sched_setaffinity(0, sizeof(set), &set);
  };
  EXPECT_EQ(threads_after([&] {
              ::unsetenv("OMP_NUM_THREADS");
              one_processor();
            }),
            1);
  EXPECT_EQ(threads_after([&] {
              ::setenv("OMP_NUM_THREADS", "many", 1);
              one_processor();
            }),
            1);
}

}  // namespace
}  // namespace dnas::kernels
