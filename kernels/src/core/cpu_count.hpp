#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace dnas::kernels {

/// The threads that a computation takes if it is not told: the first number of OMP_NUM_THREADS if there is one, else
/// the processors this thread may run on, but no more than the control group's CPU quota pays for.
[[nodiscard]] int default_threads();

/// First number of a list like "4,2"; nothing if it is not a positive number.
[[nodiscard]] std::optional<int> first_number(std::string_view list);

/// CPU quota of the control group that `membership` (the text of /proc/self/cgroup) names and of those above it, in
/// processors, rounded up; nothing if it is unlimited. `mount` is where control groups are mounted, of either version.
[[nodiscard]] std::optional<int> cgroup_cpus(std::string_view membership, const std::filesystem::path& mount);

}  // namespace dnas::kernels
