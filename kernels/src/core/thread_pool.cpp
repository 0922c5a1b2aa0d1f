#include "core/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <thread>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dnas::kernels {
namespace {

using Body = void (*)(void* object, std::int64_t index);
using std::chrono::microseconds;

constexpr std::size_t cache_line = 64;
constexpr std::size_t most_workers = 1023;
// A gap between two operations of a step is shorter than this; the wake-up it saves takes 5 to 50 microseconds.
constexpr microseconds worker_spin{100};
// The caller waits for the last piece only. If its worker was preempted, a sleeping caller lends it the core.
constexpr microseconds caller_spin{30};

void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Whether `ready` held within `limit`. Yields now and then, to whoever shares the core.
template <typename Ready>
bool spin(microseconds limit, Ready ready) {
  constexpr int pauses = 64;
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < pauses; ++i) {
      if (ready()) return true;
      pause();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

/// Number of a job and how many indices of a share are not yet claimed, in one word: who claims an index by comparing
/// and exchanging the word knows that it is one of the job he looked at, however long ago that was. 2^40 jobs pass
/// before a number returns.
class Ticket {
 public:
  static constexpr std::int64_t most_indices = (std::int64_t{1} << 24) - 1;

  explicit constexpr Ticket(std::uint64_t word) : word_(word) {}
  constexpr Ticket(std::uint64_t job, std::int64_t indices) : word_(job << 24 | static_cast<std::uint64_t>(indices)) {}
  [[nodiscard]] constexpr std::uint64_t word() const noexcept { return word_; }
  [[nodiscard]] constexpr std::int64_t left() const noexcept {
    return static_cast<std::int64_t>(word_ & static_cast<std::uint64_t>(most_indices));
  }
  [[nodiscard]] constexpr Ticket after_claim() const noexcept { return Ticket(word_ - 1); }

 private:
  std::uint64_t word_;
};

class Pool {
 public:
  void run(int threads, std::int64_t count, Body body, void* object) {
    if (busy_.exchange(true, std::memory_order_acquire)) {
      for (std::int64_t i = 0; i < count; ++i)
        body(object, i);
      return;
    }
    start_workers(static_cast<std::size_t>(threads - 1));
    for (std::int64_t first = 0; first < count; first += Ticket::most_indices)
      run_job(threads, first, std::min(count, first + Ticket::most_indices), body, object);
    busy_.store(false, std::memory_order_release);
  }

  /// In the child of a fork: only the forking thread is left, outside any job of its own.
  void forget_threads() {
    started_ = 0;
    refused_ = false;
    sleepers_.store(0);
    for (Share& share : shares_)
      share.ticket.store(0);
    pending_.store(0);
    busy_.store(false);
  }

 private:
  struct alignas(cache_line) Share {
    std::atomic<std::uint64_t> ticket{0};
  };
  struct alignas(cache_line) Worker {
    std::atomic<std::uint32_t> asleep{0};
  };

  void run_job(int threads, std::int64_t first, std::int64_t end, Body body, void* object) {
    const std::int64_t count = end - first;
    const std::int64_t shares = std::min({std::int64_t{threads}, count, static_cast<std::int64_t>(shares_.size())});
    const std::uint64_t job = job_.load(std::memory_order_relaxed) + 1;
    threads_.store(threads, std::memory_order_relaxed);
    first_.store(first, std::memory_order_relaxed);
    count_.store(count, std::memory_order_relaxed);
    body_.store(body, std::memory_order_relaxed);
    object_.store(object, std::memory_order_relaxed);
    pending_.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
    shares_in_use_.store(shares, std::memory_order_relaxed);
    for (std::int64_t i = 0; i < shares; ++i) {
      const std::int64_t indices = (i + 1) * count / shares - i * count / shares;
      shares_[static_cast<std::size_t>(i)].ticket.store(Ticket(job, indices).word(), std::memory_order_release);
    }
    // Sequentially consistent, as are the accesses of a worker that falls asleep: either it sees the job, or wake()
    // sees that it sleeps.
    job_.store(job);
    wake(static_cast<std::size_t>(shares - 1));

    work(0);
    const auto done = [this] { return pending_.load(std::memory_order_acquire) == 0; };
    if (done() || spin(caller_spin, done)) return;
    for (std::uint32_t left = pending_.load(std::memory_order_acquire); left != 0;
         left = pending_.load(std::memory_order_acquire))
      pending_.wait(left, std::memory_order_acquire);
  }

  /// Runs indices of the present job as long as there are any. `rank` is 0 for the caller, from 1 for workers.
  /// Begins with the share of that number: the data are likely to be in this core's cache from the job before.
  void work(int rank) {
    std::uint32_t ran = 0;
    const std::int64_t shares = shares_in_use_.load(std::memory_order_acquire);
    for (std::int64_t i = 0; i < shares; ++i)
      ran += work_on((rank + i) % shares, rank);
    // Counted once per job: it cannot end, nor another begin, before this.
    if (ran > 0 && pending_.fetch_sub(ran, std::memory_order_acq_rel) == ran) pending_.notify_one();
  }

  /// Runs what is left of one share. Returns how many indices that was.
  std::uint32_t work_on(std::int64_t share, int rank) {
    std::atomic<std::uint64_t>& word = shares_[static_cast<std::size_t>(share)].ticket;
    std::uint32_t ran = 0;
    Ticket ticket(word.load(std::memory_order_acquire));
    while (ticket.left() > 0) {
      // These may belong to a newer job. Then the exchange fails: a job's description is written only after all indices
      // of the one before have run, and this one has not if the exchange succeeds.
      const int threads = threads_.load(std::memory_order_relaxed);
      const std::int64_t first = first_.load(std::memory_order_relaxed);
      const std::int64_t count = count_.load(std::memory_order_relaxed);
      const std::int64_t shares = shares_in_use_.load(std::memory_order_relaxed);
      const Body body = body_.load(std::memory_order_relaxed);
      void* const object = object_.load(std::memory_order_relaxed);
      if (rank >= threads) break;
      std::uint64_t seen = ticket.word();
      if (word.compare_exchange_weak(seen, ticket.after_claim().word(), std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
        body(object, first + (share + 1) * count / shares - ticket.left());
        ++ran;
        seen = word.load(std::memory_order_acquire);
      }
      ticket = Ticket(seen);
    }
    return ran;
  }

  [[noreturn]] void worker_main(Worker& self, int rank, std::uint64_t last_job) {
    const auto has_work = [&] { return job_.load() != last_job && rank < threads_.load(std::memory_order_relaxed); };
    for (;;) {
      if (!spin(worker_spin, has_work)) {
        sleepers_.fetch_add(1);
        self.asleep.store(1);
        while (!has_work() && self.asleep.load() == 1)
          self.asleep.wait(1);
        self.asleep.store(0);
        sleepers_.fetch_sub(1);
      }
      last_job = job_.load();
      work(rank);
    }
  }

  void wake(std::size_t wanted) {
    if (sleepers_.load() == 0) return;
    const std::size_t workers = std::min(wanted, started_);
    for (std::size_t i = 0; i < workers; ++i) {
      if (workers_[i].asleep.exchange(0) == 1) workers_[i].asleep.notify_one();
    }
  }

  void start_workers(std::size_t wanted) {
    wanted = std::min(wanted, most_workers);
    if (started_ >= wanted || refused_) return;
    watch_forks();
    // Signals are for the threads of the application.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (; started_ < wanted; ++started_) {
        Worker& self = workers_[started_];
        self.asleep.store(0);
        const int rank = static_cast<int>(started_) + 1;
        std::thread([this, &self, rank, job = job_.load()] { worker_main(self, rank, job); }).detach();
      }
    } catch (const std::exception&) {
      refused_ = true;  // no thread or memory to be had: from now on do with those there are
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  static void watch_forks();

  // The present job. Written by its caller, who holds busy_; job_, its number, and the tickets last.
  alignas(cache_line) std::atomic<std::uint64_t> job_{0};
  std::atomic<int> threads_{0};
  std::atomic<std::int64_t> first_{0};
  std::atomic<std::int64_t> count_{0};
  std::atomic<std::int64_t> shares_in_use_{0};
  std::atomic<Body> body_{nullptr};
  std::atomic<void*> object_{nullptr};
  std::atomic<int> sleepers_{0};
  alignas(cache_line) std::atomic<std::uint32_t> pending_{0};  // indices that have not yet run
  alignas(cache_line) std::atomic<bool> busy_{false};
  std::size_t started_ = 0;  // under busy_
  bool refused_ = false;     // likewise
  std::array<Share, most_workers + 1> shares_;
  std::array<Worker, most_workers> workers_;
};

// Never destroyed: workers wait in it until the process ends.
constinit Pool pool;
static_assert(std::is_trivially_destructible_v<Pool>);

void Pool::watch_forks() {
  static const int failed = pthread_atfork(nullptr, nullptr, [] { pool.forget_threads(); });
  (void)failed;  // out of memory: only a child that computes would miss it
}

}  // namespace

void run_on_threads(int threads, std::int64_t count, Body body, void* object) {
  if (threads > 1 && count > 1) {
    pool.run(threads, count, body, object);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i)
    body(object, i);
}

}  // namespace dnas::kernels
