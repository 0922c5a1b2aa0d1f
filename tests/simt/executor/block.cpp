#include "simt/executor/block.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace dnas::simt {
namespace {

std::string text(uint3 index) {
  return std::string("(") + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) +
         ")";
}

uint3 position(std::uint64_t number, dim3 extent) {
  return {static_cast<unsigned>(number % extent.x), static_cast<unsigned>(number / extent.x % extent.y),
          static_cast<unsigned>(number / extent.x / extent.y)};
}

const char* name(Schedule schedule) {
  switch (schedule) {
    case Schedule::ascending:
      return "ascending";
    case Schedule::descending:
      return "descending";
    case Schedule::shuffled:
      return "shuffled";
    case Schedule::by_warp:
      return "by_warp";
  }
  return "";
}

}  // namespace

Block::Block() = default;

unsigned Block::lane() const {
  return current_->number % warp_size;
}

AsyncCopies& Block::copies() {
  return current_->copies;
}

// --- one block ------------------------------------------------------------------------------------------------------

std::optional<std::string> Block::run(Grid& grid, std::uint64_t number) {
  begin(grid, number);
  begin_.publish();
  if (Thread* const first = next()) switch_to(worker_, first);
  end_.observe();
  current_ = nullptr;
  running_block = nullptr;
  if (!error_ && alive_ > 0) error_ = describe(describe_deadlock(), nullptr);
  if (!error_) {
    try {
      memory_.check_red_zones();
    } catch (const Misuse& misuse) {
      error_ = describe(misuse.what(), nullptr);
    }
  }
  if (error_) abandon_fibers();
  return std::exchange(error_, std::nullopt);
}

void Block::begin(Grid& grid, std::uint64_t number) {
  running_block = this;
  grid_ = &grid;
  ::gridDim = grid.extent;
  ::blockDim = grid.block;
  ::blockIdx = position(number, grid.extent);
  count_ = grid.block.x * grid.block.y * grid.block.z;
  alive_ = count_;
  atomic_seen_ = false;
  if (thread_sanitizer) fences_ = std::make_unique<OrderingPoint>();
  random_ = Random(grid.settings.seed, number);
  ready_.reset(grid.settings.schedule, &random_);
  memory_.begin_block(grid.shared_bytes);
  barrier_.waiting.clear();
  if (threads_.size() < count_) threads_.resize(count_);
  // A new fiber knows what its maker did. Made by the worker, threads know nothing of each other.
  while (thread_sanitizer && fibers_.size() < count_)
    fibers_.push_back(std::make_unique<Fiber>(fiber_main));
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.index = position(i, grid.block);
    thread.number = i;
    thread.fiber = nullptr;
    thread.copies.forget();
    set_ready(i);
  }
  warps_.resize((count_ + warp_size - 1) / warp_size);
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const unsigned lanes = std::min<unsigned>(count_ - static_cast<unsigned>(w) * warp_size, warp_size);
    warps_[w].alive = lanes == warp_size ? all_lanes : (1U << lanes) - 1U;
    warps_[w].open.clear();
  }
}

/// After an error: fibers stand somewhere in the kernel and are not gone on with. Kernels own nothing that would have
/// to be destroyed.
void Block::abandon_fibers() {
  for (unsigned i = 0; i < count_; ++i) {
    if (threads_[i].fiber == nullptr) continue;
    threads_[i].fiber->restart();
    if (!thread_sanitizer) idle_fibers_.push_back(threads_[i].fiber);
  }
}

// --- threads and fibers ---------------------------------------------------------------------------------------------

/// What every fiber executes: one thread of a kernel after the other.
void Block::fiber_main() {
  Block& block = *running_block;
  for (;;) {
    Thread& thread = *block.current_;
    block.run_thread(thread);
    Fiber* const fiber = std::exchange(thread.fiber, nullptr);
    Thread* const next = block.next();
    // ThreadSanitizer takes a fiber for a thread: there, the threads of a block have a fiber each.
    if (!thread_sanitizer) {
      if (next != nullptr && next->fiber == nullptr) {
        next->fiber = fiber;  // not started yet: no need to switch
        block.current_ = next;
        ::threadIdx = next->index;
        continue;
      }
      block.idle_fibers_.push_back(fiber);
    }
    block.switch_to(*fiber, next);
  }
}

void Block::run_thread(Thread& thread) {
  try {
    call_kernel(thread);
    after_return(thread);
  } catch (const Misuse& misuse) {
    error_ = describe(misuse.what(), &thread);
  } catch (const std::exception& exception) {
    error_ = describe(std::string("exception in the kernel: ") + exception.what(), &thread);
  } catch (...) {
    error_ = describe("exception in the kernel", &thread);
  }
  end_.publish();
  if (error_) switch_to(*thread.fiber, nullptr);  // for good
}

void Block::call_kernel(Thread& /*thread*/) {
  begin_.observe();
  leave_executor();
  try {
    grid_->call(grid_->arguments);
  } catch (...) {
    enter_executor();
    throw;
  }
  enter_executor();
}

void Block::after_return(Thread& thread) {
  if (!thread.copies.all_waited_for()) throw Misuse("returned with asynchronous copies that were never waited for");
  thread.state = State::returned;
  --alive_;
  const unsigned first = thread.number / warp_size * warp_size;
  Warp& warp = warps_[thread.number / warp_size];
  warp.alive &= ~(1U << thread.number % warp_size);
  // Somebody may have waited for this thread alone.
  for (std::size_t i = 0; i < warp.open.size();) {
    if (warp.open[i].arrived == (warp.open[i].mask & warp.alive)) {
      complete_warp_operation(warp, i, first);
    } else {
      ++i;
    }
  }
  if (!barrier_.waiting.empty() && barrier_.waiting.size() == alive_) complete_barrier();
}

Fiber* Block::fiber_for(const Thread& thread) {
  if (thread_sanitizer) return fibers_[thread.number].get();
  if (idle_fibers_.empty()) return fibers_.emplace_back(std::make_unique<Fiber>(fiber_main)).get();
  Fiber* const fiber = idle_fibers_.back();
  idle_fibers_.pop_back();
  return fiber;
}

Block::Thread* Block::next() {
  const int number = ready_.take();
  return number == ReadyQueue::nobody ? nullptr : &threads_[static_cast<std::size_t>(number)];
}

/// Leaves `from` for a thread, or for the worker if there is none.
void Block::switch_to(Fiber& from, Thread* to) {
  current_ = to;
  if (to == nullptr) {
    from.switch_to(worker_);
    return;
  }
  if (to->fiber == nullptr) to->fiber = fiber_for(*to);
  ::threadIdx = to->index;
  from.switch_to(*to->fiber);
}

void Block::suspend(Thread& thread) {
  end_.publish();  // should nobody ever come back
  Thread* const following = next();
  if (following != &thread) switch_to(*thread.fiber, following);
}

void Block::set_ready(unsigned thread) {
  threads_[thread].state = State::ready;
  ready_.add(thread);
}

void Block::yield() {
  const InExecutor guard;
  ready_.add_after_others(current_->number);
  suspend(*current_);
}

void Block::yield_at_random() {
  const InExecutor guard;
  if (grid_->settings.schedule == Schedule::shuffled && random_.below(8) == 0) yield();
}

/// Whoever sees the value of an atomic, and passes a fence then, sees what its block had fenced before the atomic.
void Block::at_atomic() {
  const InExecutor guard;
  yield_at_random();
  if (thread_sanitizer) courier_.carry(*fences_, grid_->atomics);
  atomic_seen_ = true;
}

void Block::at_fence() {
  const InExecutor guard;
  if (thread_sanitizer) {
    fences_->publish();
    if (atomic_seen_) grid_->atomics.observe();
  }
  yield_at_random();
}

// --- barrier --------------------------------------------------------------------------------------------------------

Predicates Block::barrier(bool predicate, const Place& place) {
  const InExecutor guard;
  Thread& thread = *current_;
  if (barrier_.waiting.empty()) {
    barrier_.place = place;
    barrier_.count = 0;
  } else if (!same(barrier_.place, place)) {
    throw Misuse("the barrier at " + text(place) + " meets another at " + text(barrier_.place) + ", where " +
                 std::to_string(barrier_.waiting.size()) + " thread(s) wait");
  }
  const unsigned parity = barrier_.parity;
  barrier_.order[parity].publish();
  barrier_.count += predicate ? 1 : 0;
  barrier_.waiting.push_back(thread.number);
  thread.state = State::at_barrier;
  thread.waits_at = place;
  if (barrier_.waiting.size() == alive_) complete_barrier();
  suspend(thread);
  barrier_.order[parity].observe();
  return barrier_.result[parity];
}

void Block::complete_barrier() {
  if (grid_->settings.strict_return && barrier_.waiting.size() < count_) {
    throw Misuse("the barrier at " + text(barrier_.place) + " is complete with " +
                 std::to_string(barrier_.waiting.size()) + " of " + std::to_string(count_) +
                 " threads, since the others have returned");
  }
  barrier_.result[barrier_.parity] = {barrier_.count, barrier_.count == barrier_.waiting.size()};
  barrier_.parity ^= 1U;
  for (const unsigned thread : barrier_.waiting)
    set_ready(thread);
  barrier_.waiting.clear();
}

// --- warp operations ------------------------------------------------------------------------------------------------

void Block::warp_operation(unsigned mask, WarpFunction function, void* slot, Memory memory, const Place& place) {
  const InExecutor guard;
  Thread& thread = *current_;
  const unsigned lane = thread.number % warp_size;
  const unsigned first = thread.number - lane;
  Warp& warp = warps_[thread.number / warp_size];
  if ((mask >> lane & 1U) == 0) {
    throw Misuse("the mask of the warp operation at " + text(place) + " does not name the calling lane");
  }
  std::size_t at = warp.open.size();
  for (std::size_t i = 0; i < warp.open.size(); ++i) {
    const WarpOperation& other = warp.open[i];
    if (other.mask == mask) {
      at = i;
    } else if ((other.mask >> lane & 1U) != 0 && (other.arrived & mask) != 0) {
      // They wait for this lane, and it would wait for them.
      throw Misuse("the mask of the warp operation at " + text(place) + " conflicts with that of lanes that wait at " +
                   text(other.place));
    }
  }
  if (at == warp.open.size()) {
    warp.open.push_back({mask, 0, function, place, warp.parity, {}});
    warp.parity ^= 1U;
  }
  WarpOperation& operation = warp.open[at];
  // A shuffle up and a shuffle down are one function to the executor, but two instructions to a warp.
  if (operation.function != function || !same(operation.place, place)) {
    throw Misuse("lanes of one mask meet in different warp operations, at " + text(place) + " and " +
                 text(operation.place));
  }
  const unsigned parity = operation.parity;
  if (memory == Memory::ordered) warp.order[parity].publish();
  operation.arrived |= 1U << lane;
  operation.slots[lane] = slot;
  thread.state = State::in_warp_operation;
  thread.waits_at = place;
  if (operation.arrived == (mask & warp.alive)) complete_warp_operation(warp, at, first);
  suspend(thread);
  if (memory == Memory::ordered) warp.order[parity].observe();
}

void Block::complete_warp_operation(Warp& warp, std::size_t at, unsigned first_thread) {
  const WarpOperation operation = warp.open[at];
  warp.open.erase(warp.open.begin() + static_cast<std::ptrdiff_t>(at));
  if (operation.function != nullptr) operation.function(operation.slots.data(), operation.arrived);
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((operation.arrived >> lane & 1U) != 0) set_ready(first_thread + lane);
  }
}

// --- asynchronous copies --------------------------------------------------------------------------------------------

void Block::start_copy(void* to, const void* from, int bytes, int valid, const Place& place) {
  bool at_once = false;
  {
    const InExecutor guard;
    const auto aligned = [bytes](const void* p) {
      return reinterpret_cast<std::uintptr_t>(p) % static_cast<std::uintptr_t>(bytes) == 0;
    };
    const auto fail = [&](const char* what) { throw Misuse("cp_async at " + text(place) + ": " + what); };
    if (valid < 0 || valid > bytes) fail("more valid bytes than bytes");
    if (!memory_.contains(to)) fail("the destination is not in an array of SharedMemory");
    if (from == nullptr) fail("the source is null");
    if (memory_.contains(from)) fail("the source is shared memory");
    if (!aligned(to)) fail("the destination is misaligned");
    if (valid > 0 && !aligned(from)) fail("the source is misaligned");
    const Schedule schedule = grid_->settings.schedule;
    at_once = schedule == Schedule::descending || (schedule == Schedule::shuffled && random_.below(2) == 0);
  }
  current_->copies.start(to, from, static_cast<std::size_t>(bytes), static_cast<std::size_t>(valid), at_once);
}

// --- messages -------------------------------------------------------------------------------------------------------

std::string Block::describe(const std::string& what, const Thread* who) const {
  const Settings& settings = grid_->settings;
  return std::string("block ") + text(::blockIdx) + (who != nullptr ? ", thread " + text(who->index) : std::string()) +
         ": " + what + " [schedule " + name(settings.schedule) +
         (settings.schedule == Schedule::shuffled ? ", seed " + std::to_string(settings.seed) : std::string()) + "]";
}

std::string Block::describe_deadlock() const {
  struct Group {
    const Thread* first;
    unsigned count;
  };
  std::vector<Group> groups;  // of threads that wait at the same place
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == State::returned) continue;
    const auto known = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return group.first->state == thread.state && same(group.first->waits_at, thread.waits_at);
    });
    if (known != groups.end()) {
      ++known->count;
    } else {
      groups.push_back({&thread, 1});
    }
  }
  std::string message =
      "cannot go on: " + std::to_string(count_ - alive_) + " of " + std::to_string(count_) + " threads have returned";
  for (const Group& group : groups) {
    message += "; " + std::to_string(group.count) + " wait " +
               (group.first->state == State::at_barrier ? "at the barrier" : "in the warp operation") + " at " +
               text(group.first->waits_at) + ", the first of them thread " + text(group.first->index);
  }
  return message;
}

}  // namespace dnas::simt
