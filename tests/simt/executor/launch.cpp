#include "simt/executor/launch.hpp"

#include "simt/executor.hpp"
#include "simt/executor/block.hpp"
#include "simt/executor/settings.hpp"
#include "simt/executor/worker_pool.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>

namespace dnas::simt {
namespace {

std::mutex launch_mutex;  // of what follows
std::unordered_map<const void*, std::size_t> shared_limits;
LaunchRecorder* recorder = nullptr;

LaunchStatus check(const LaunchRequest& request) {
  const dim3 grid = request.grid;
  const dim3 block = request.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > max_grid_x || grid.y > max_grid_yz || grid.z > max_grid_yz)
    return LaunchStatus::invalid_configuration;
  if (threads == 0 || block.x > max_threads_per_block || block.y > max_threads_per_block || block.z > max_block_z ||
      threads > max_threads_per_block)
    return LaunchStatus::invalid_configuration;
  if (request.shared_bytes > max_shared_bytes_unasked) {
    const std::lock_guard lock(launch_mutex);
    const auto limit = shared_limits.find(request.kernel);
    if (limit == shared_limits.end() || request.shared_bytes > limit->second) return LaunchStatus::invalid_value;
  }
  return LaunchStatus::accepted;
}

/// The order in which blocks are begun: a permutation of [0, count).
class BlockOrder {
 public:
  BlockOrder(const Settings& settings, std::uint64_t count)
      : count_(count), descending_(settings.schedule == Schedule::descending) {
    if (settings.schedule != Schedule::shuffled) return;
    Random random(settings.seed, count);
    first_ = random.below(count);
    factor_ = random.below(count);
    while (std::gcd(factor_, count) != 1)
      ++factor_;
  }

  [[nodiscard]] std::uint64_t operator[](std::uint64_t position) const {
    if (descending_) return count_ - 1 - position;
    return static_cast<std::uint64_t>((static_cast<Wide>(position) * factor_ + first_) % count_);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  std::uint64_t count_;
  std::uint64_t factor_ = 1;
  std::uint64_t first_ = 0;
  bool descending_;
};

void run_blocks(Grid& grid) {
  const std::uint64_t count = std::uint64_t{grid.extent.x} * grid.extent.y * grid.extent.z;
  const BlockOrder order(grid.settings, count);
  const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(grid.settings.workers, count));
  std::atomic<std::uint64_t> taken = 0;
  std::atomic<bool> failed = false;
  std::mutex error_mutex;
  std::string error;
  run_on_workers(workers, [&](unsigned worker) {
    const InExecutor guard;
    static thread_local Block block;
    // Whoever is free takes the next block. For ThreadSanitizer the blocks of one worker are ordered, as are two
    // workers that take turns at an atomic: there, neighbours go to different workers, which know nothing of each
    // other.
    std::uint64_t position = worker;
    const auto following = [&] {
      return thread_sanitizer ? position + workers : taken.fetch_add(1, std::memory_order_relaxed);
    };
    if (!thread_sanitizer) position = following();
    for (; position < count && !failed.load(std::memory_order_relaxed); position = following()) {
      const std::optional<std::string> what = block.run(grid, order[position]);
      if (!what) continue;
      const std::lock_guard lock(error_mutex);
      if (error.empty()) error = *what;
      failed.store(true, std::memory_order_relaxed);
    }
  });
  if (failed) throw Error(error);
}

}  // namespace

bool record_if_asked(const LaunchRecord& launch) {
  const std::lock_guard lock(launch_mutex);
  if (recorder == nullptr) return false;
  recorder->launches_.push_back(launch);
  return true;
}

LaunchRecorder::LaunchRecorder() {
  const std::lock_guard lock(launch_mutex);
  previous_ = recorder;
  recorder = this;
}

LaunchRecorder::~LaunchRecorder() {
  const std::lock_guard lock(launch_mutex);
  recorder = previous_;
}

std::size_t LaunchRecorder::count() const {
  const std::lock_guard lock(launch_mutex);
  return launches_.size();
}

std::vector<LaunchRecord> LaunchRecorder::launches() const {
  const std::lock_guard lock(launch_mutex);
  return launches_;
}

LaunchStatus allow_shared_bytes(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > max_shared_bytes) return LaunchStatus::invalid_value;
  const std::lock_guard lock(launch_mutex);
  shared_limits[kernel] = static_cast<std::size_t>(bytes);
  return LaunchStatus::accepted;
}

LaunchStatus launch_grid(const LaunchRequest& request) {
  if (running_block != nullptr) throw Misuse("a kernel launches a kernel");
  const LaunchStatus status = check(request);
  if (status != LaunchStatus::accepted) return status;
  if (record_if_asked({request.grid, request.block, request.shared_bytes, request.parameter_bytes, request.kernel}))
    return status;
  Grid grid{request.grid, request.block, request.shared_bytes, request.call, request.arguments, current_settings(), {}};
  run_blocks(grid);
  return status;
}

}  // namespace dnas::simt
