#include "simt/executor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ucontext.h>

namespace dnas::simt {
namespace {

constexpr std::size_t stack_bytes = 128 * 1024;
constexpr unsigned warp_size = 32;

enum class State { ready, at_barrier, at_warp_operation, returned };

/// What the lanes of a warp hand each other. A lane can be one operation ahead of another, never two, so two sets do.
using Slots = std::array<std::array<std::uint64_t, warp_size>, 2>;

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
  State state = State::ready;
  unsigned exchanges = 0;
};

/// One block at a time, and the fibers and their stacks that all blocks use.
class Executor {
 public:
  Schedule schedule = Schedule::ascending;

  void run_grid(const Extent& grid, const Extent& block, const std::function<void()>& kernel) {
    gridDim = grid;
    blockDim = block;
    kernel_ = &kernel;
    fibers_.resize(block.count());
    warps_.resize((fibers_.size() + warp_size - 1) / warp_size);
    random_.seed(1);
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          blockIdx = {x, y, z};
          run_block();
        }
      }
    }
  }

  /// Called in a fiber: lets the others run until the wait is over.
  void wait(State state) {
    fibers_[current_].state = state;
    suspend();
  }

  std::uint64_t exchange(std::uint64_t bits, unsigned offset) {
    Fiber& fiber = fibers_[current_];
    auto& slots = warps_[current_ / warp_size][fiber.exchanges++ % 2];
    const std::size_t lane = current_ % warp_size;
    slots[lane] = bits;
    wait(State::at_warp_operation);
    return lane + offset < warp_size ? slots[lane + offset] : bits;
  }

  /// The first function of every fiber.
  void enter() {
    try {
      (*kernel_)();
    } catch (...) {
      failure_ = std::current_exception();
    }
    fibers_[current_].state = State::returned;
    suspend();
  }

 private:
  void run_block();
  bool run_turn(std::vector<std::size_t>& order);
  bool run_warps();
  [[nodiscard]] bool all_returned() const;
  bool resume(std::size_t thread);
  void suspend() { swapcontext(&fibers_[current_].context, &scheduler_); }
  bool release(State waiting, std::size_t begin, std::size_t end);
  [[nodiscard]] std::string describe() const;

  const std::function<void()>* kernel_ = nullptr;
  std::vector<Fiber> fibers_;
  std::vector<Slots> warps_;
  std::size_t current_ = 0;
  ucontext_t scheduler_{};
  std::exception_ptr failure_;
  std::mt19937 random_;
};

Executor& executor() {
  static Executor instance;
  return instance;
}

void fiber_main() {
  executor().enter();
}

void Executor::run_block() {
  for (Fiber& fiber : fibers_) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stack_bytes;
    makecontext(&fiber.context, fiber_main, 0);
    fiber.state = State::ready;
    fiber.exchanges = 0;
  }
  std::vector<std::size_t> order(fibers_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (schedule == Schedule::descending) std::reverse(order.begin(), order.end());
  bool moved = true;
  while (!all_returned()) {
    if (!moved) throw Error(describe());
    moved = schedule == Schedule::by_warp ? run_warps() : run_turn(order);
    if (release(State::at_barrier, 0, fibers_.size())) moved = true;
  }
}

/// Every thread that can go on does so once, then those warps that are complete. False if nothing happened.
bool Executor::run_turn(std::vector<std::size_t>& order) {
  if (schedule == Schedule::shuffled) std::shuffle(order.begin(), order.end(), random_);
  bool moved = false;
  for (const std::size_t thread : order) {
    if (resume(thread)) moved = true;
  }
  for (std::size_t begin = 0; begin < fibers_.size(); begin += warp_size) {
    if (release(State::at_warp_operation, begin, std::min(begin + warp_size, fibers_.size()))) moved = true;
  }
  return moved;
}

/// Every warp runs until its lanes wait for the block. False if nothing happened.
bool Executor::run_warps() {
  bool moved = false;
  for (std::size_t warp = warps_.size(); warp-- > 0;) {
    const std::size_t begin = warp * warp_size;
    const std::size_t end = std::min(begin + warp_size, fibers_.size());
    do {
      for (std::size_t thread = begin; thread < end; ++thread) {
        if (resume(thread)) moved = true;
      }
    } while (release(State::at_warp_operation, begin, end));
  }
  return moved;
}

bool Executor::all_returned() const {
  return std::all_of(fibers_.begin(), fibers_.end(), [](const Fiber& fiber) { return fiber.state == State::returned; });
}

/// Runs the thread until it waits or returns. False if it could not go on.
bool Executor::resume(std::size_t thread) {
  if (fibers_[thread].state != State::ready) return false;
  current_ = thread;
  const auto i = static_cast<unsigned>(thread);
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  swapcontext(&scheduler_, &fibers_[thread].context);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  return true;
}

/// Lets the threads [begin, end) go on if all that have not returned wait for the same thing.
bool Executor::release(State waiting, std::size_t begin, std::size_t end) {
  bool any = false;
  for (std::size_t i = begin; i < end; ++i) {
    if (fibers_[i].state == waiting) {
      any = true;
    } else if (fibers_[i].state != State::returned) {
      return false;
    }
  }
  for (std::size_t i = begin; i < end; ++i) {
    if (fibers_[i].state == waiting) fibers_[i].state = State::ready;
  }
  return any;
}

std::string Executor::describe() const {
  const auto count = [this](State state) {
    return std::to_string(
        std::count_if(fibers_.begin(), fibers_.end(), [state](const Fiber& fiber) { return fiber.state == state; }));
  };
  return "block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
         ") cannot go on: " + count(State::at_barrier) + " threads wait at a barrier, " +
         count(State::at_warp_operation) + " in a warp operation, " + count(State::returned) + " have returned";
}

}  // namespace

void set_schedule(Schedule schedule) noexcept {
  executor().schedule = schedule;
}

void run_grid(const Extent& grid, const Extent& block, const std::function<void()>& kernel) {
  executor().run_grid(grid, block, kernel);
}

void wait_for_block() {
  executor().wait(State::at_barrier);
}

std::uint64_t exchange_in_warp(unsigned mask, std::uint64_t bits, unsigned offset) {
  if (mask != 0xFFFFFFFFU) throw Error("warp operation: the mask leaves out lanes, which this executor does not model");
  return executor().exchange(bits, offset);
}

}  // namespace dnas::simt
