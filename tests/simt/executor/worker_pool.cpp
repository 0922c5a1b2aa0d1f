#include "simt/executor/worker_pool.hpp"

#include "simt/executor/sanitizers.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace dnas::simt {
namespace {

class WorkerPool {
 public:
  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    start_.notify_all();
    for (std::thread& thread : threads_)
      thread.join();
  }

  void run(unsigned count, const std::function<void(unsigned)>& task) {
    const std::lock_guard turn(turns_);
    if (count > 1) {
      const std::lock_guard lock(mutex_);
      while (threads_.size() + 1 < count)
        threads_.emplace_back(&WorkerPool::work, this, static_cast<unsigned>(threads_.size()) + 1, round_);
      task_ = &task;
      count_ = count;
      busy_ = static_cast<unsigned>(threads_.size());
      ++round_;
      start_.notify_all();
    }
    task(0);
    if (count > 1) {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [this] { return busy_ == 0; });
    }
  }

 private:
  void work(unsigned worker, std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    for (;;) {
      start_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      if (worker < count_) {
        lock.unlock();
        (*task_)(worker);
        lock.lock();
      }
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex turns_;  // held for a whole call
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  std::vector<std::thread> threads_;
  const std::function<void(unsigned)>* task_ = nullptr;
  unsigned count_ = 0;
  unsigned busy_ = 0;
  std::uint64_t round_ = 0;
  bool stop_ = false;
};

}  // namespace

void run_on_workers(unsigned count, const std::function<void(unsigned)>& task) {
  static WorkerPool pool;
  if (!thread_sanitizer) {
    pool.run(count, task);
    return;
  }
  // A worker that wakes when another has finished knows, through the pool's mutex, all that the other did, and races
  // between them are not seen. So they begin together.
  std::atomic<unsigned> here = 0;
  pool.run(count, [&](unsigned worker) {
    here.fetch_add(1, std::memory_order_relaxed);
    while (here.load(std::memory_order_relaxed) < count)
      std::this_thread::yield();
    task(worker);
  });
}

}  // namespace dnas::simt
