#pragma once

#include "simt/executor/async_copy.hpp"
#include "simt/executor/block_memory.hpp"
#include "simt/executor/fiber.hpp"
#include "simt/executor/misuse.hpp"
#include "simt/executor/ready_queue.hpp"
#include "simt/executor/sanitizers.hpp"
#include "simt/executor/settings.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// Where the running thread is, named as CUDA names it. Set at every switch; a worker's own thread never sees another's.
// NOLINTBEGIN(readability-identifier-naming)
inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
// NOLINTEND(readability-identifier-naming)

namespace dnas::simt {

inline constexpr unsigned warp_size = 32;
inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// A launch, as its blocks see it.
struct Grid {
  dim3 extent;
  dim3 block;
  std::size_t shared_bytes = 0;
  void (*call)(const void* arguments) = nullptr;  ///< the kernel, for one thread
  const void* arguments = nullptr;
  Settings settings;
  OrderingPoint atomics{};  ///< what was fenced before an atomic of any block
};

/// What lanes of a warp do together once all have arrived: `slots` has an entry for each lane, those of `arrived` set.
using WarpFunction = void (*)(void* const* slots, unsigned arrived);

/// Whether a warp operation makes writes of its lanes visible to each other. In CUDA only __syncwarp does.
enum class Memory : bool { unordered, ordered };

struct Predicates {
  unsigned count = 0;  ///< threads that came with true
  bool all = false;
};

/// Executes the blocks of grids, one after the other, on the thread of the operating system it was made on.
class Block {
 public:
  Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Executes the `number`th block of the grid. Returns what went wrong.
  [[nodiscard]] std::optional<std::string> run(Grid& grid, std::uint64_t number);

  // Called by the running thread of a kernel. All throw Misuse.

  /// Waits for all threads of the block that have not returned.
  Predicates barrier(bool predicate, const Place& place);

  /// Waits for the lanes of the mask that have not returned; the last to arrive calls `function`, which may be null.
  void warp_operation(unsigned mask, WarpFunction function, void* slot, Memory memory, const Place& place);

  /// Lets other threads run.
  void yield();

  /// Likewise, at one call in eight, under a random schedule only.
  void yield_at_random();

  /// An atomic or a fence is a place where another thread may come in between.
  void at_atomic();
  void at_fence();

  void start_copy(void* to, const void* from, int bytes, int valid, const Place& place);
  AsyncCopies& copies();

  BlockMemory& memory() { return memory_; }
  [[nodiscard]] unsigned lane() const;

 private:
  enum class State : std::uint8_t { ready, at_barrier, in_warp_operation, returned };

  struct Thread {
    uint3 index{};
    unsigned number = 0;
    State state = State::ready;
    Place waits_at;
    Fiber* fiber = nullptr;
    AsyncCopies copies;
  };

  struct Barrier {
    std::vector<unsigned> waiting;
    Place place;
    unsigned count = 0;  // of true predicates
    // A thread may reach the next barrier before another has left the last one, so results and order alternate.
    unsigned parity = 0;
    std::array<Predicates, 2> result;
    std::array<OrderingPoint, 2> order;
  };

  struct WarpOperation {
    unsigned mask;
    unsigned arrived;
    WarpFunction function;
    Place place;
    unsigned parity;
    std::array<void*, warp_size> slots;
  };

  struct Warp {
    unsigned alive = 0;  // lanes that have not returned
    unsigned parity = 0;
    std::vector<WarpOperation> open;  // their masks are disjoint
    std::array<OrderingPoint, 2> order;
  };

  static void fiber_main();
  void begin(Grid& grid, std::uint64_t number);
  void run_thread(Thread& thread);
  void call_kernel(Thread& thread);
  void after_return(Thread& thread);
  [[nodiscard]] Thread* next();
  void switch_to(Fiber& from, Thread* to);
  void suspend(Thread& thread);
  [[nodiscard]] Fiber* fiber_for(const Thread& thread);
  void set_ready(unsigned thread);
  void complete_barrier();
  void complete_warp_operation(Warp& warp, std::size_t at, unsigned first_thread);
  void abandon_fibers();
  [[nodiscard]] std::string describe(const std::string& what, const Thread* who) const;
  [[nodiscard]] std::string describe_deadlock() const;

  Grid* grid_ = nullptr;
  unsigned count_ = 0;  // of threads
  unsigned alive_ = 0;  // that have not returned
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Barrier barrier_;
  BlockMemory memory_;
  ReadyQueue ready_;
  Random random_;
  bool atomic_seen_ = false;
  std::unique_ptr<OrderingPoint> fences_;  // a new one for each block
  Courier courier_;
  std::optional<std::string> error_;
  Fiber worker_;  // whoever called run()
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_fibers_;
  OrderingPoint begin_;
  OrderingPoint end_;
  Thread* current_ = nullptr;
};

/// The block that this thread of the operating system executes, or null.
inline constinit thread_local Block* running_block = nullptr;

}  // namespace dnas::simt
