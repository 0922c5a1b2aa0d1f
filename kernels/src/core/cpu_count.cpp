#include "core/cpu_count.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace dnas::kernels {
namespace {

/// Processors in the affinity mask of this thread.
int allowed_cpus() {
  // The kernel refuses a mask that is smaller than its own, which may be larger than cpu_set_t.
  std::vector<cpu_set_t> mask(1);
  for (; mask.size() <= 64; mask.resize(2 * mask.size())) {
    const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, bytes, mask.data()) == 0) return std::max(1, CPU_COUNT_S(bytes, mask.data()));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::optional<int> processors(double quota, double period) {
  if (!(quota > 0) || !(period > 0) || quota > 1e6 * period) return std::nullopt;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

/// Quota of one group: cpu.max ("max 100000" or "150000 100000") in version 2, a file each in version 1.
std::optional<int> quota_of(const std::filesystem::path& group) {
  std::ifstream both(group / "cpu.max");
  double quota = 0;
  double period = 0;
  if (both >> quota >> period) return processors(quota, period);
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period) return processors(quota, period);
  return std::nullopt;
}

/// Takes the text up to the next `separator`, or all, off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    if (take_until(controllers, ',') == "cpu") return true;
  }
  return false;
}

}  // namespace

std::optional<int> first_number(std::string_view list) {
  list.remove_prefix(std::min(list.find_first_not_of(" \t"), list.size()));
  int number = 0;
  const auto [end, error] = std::from_chars(list.data(), list.data() + list.size(), number);
  list.remove_prefix(static_cast<std::size_t>(end - list.data()));
  const bool ends = list.empty() || list.find_first_of(", \t") == 0;
  if (error != std::errc() || !ends || number < 1) return std::nullopt;
  return number;
}

std::optional<int> cgroup_cpus(std::string_view membership, const std::filesystem::path& mount) {
  std::optional<int> least;
  const auto limit = [&least](std::optional<int> cpus) {
    if (cpus && (!least || *cpus < *least)) least = cpus;
  };
  // Lines are "0::/group" in version 2 and "7:cpu,cpuacct:/group" in version 1, which mounts each controller apart.
  while (!membership.empty()) {
    std::string_view line = take_until(membership, '\n');
    const bool unified = take_until(line, ':') == "0";
    const std::string_view controllers = take_until(line, ':');
    if (!(unified ? controllers.empty() : names_cpu(controllers))) continue;
    const std::filesystem::path root = unified ? mount : mount / "cpu";
    std::filesystem::path group = std::filesystem::path(line).relative_path();
    for (; !group.empty(); group = group.parent_path())
      limit(quota_of(root / group));
    limit(quota_of(root));
  }
  return least;
}

int default_threads() {
  if (const char* list = std::getenv("OMP_NUM_THREADS")) {
    if (const std::optional<int> number = first_number(list)) return *number;
  }
  const int allowed = allowed_cpus();
  const std::optional<int> paid = cgroup_cpus(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  return paid ? std::min(allowed, *paid) : allowed;
}

}  // namespace dnas::kernels
