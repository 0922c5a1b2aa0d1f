#include "simt/executor/fiber.hpp"

#include "simt/executor/sanitizers.hpp"

#include <cstdlib>
#include <new>

#include <pthread.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
// Shared memory is used again by block after block: two races at one address are two races. Here, and not in a source
// of its own, because nothing but the sanitizer calls it.
extern "C" __attribute__((used)) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "suppress_equal_addresses=0";
}
#endif

namespace dnas::simt {
namespace {

constexpr std::size_t page = 4096;
// Instrumented code needs several times the stack; kernel parameters of up to 32 KiB lie there twice.
constexpr std::size_t fiber_stack_bytes = (address_sanitizer || thread_sanitizer ? 512 : 192) * std::size_t{1024};

// The fiber that begins when a switch arrives at an unused stack.
using Entry = void (*)();
constinit thread_local Entry entry_of_next = nullptr;

std::byte* map_stack(void* at, int flags) {
  void* const memory = mmap(at, fiber_stack_bytes + page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) throw std::bad_alloc();
  return static_cast<std::byte*>(memory) + page;
}

}  // namespace

void fiber_begins() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  entry_of_next();
  std::abort();  // an entry does not return
}

Fiber::Fiber() : context_(empty_context()) {
  pthread_attr_t attributes;
  void* stack = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &stack_bytes_);
  pthread_attr_destroy(&attributes);
  stack_ = static_cast<std::byte*>(stack);
#if defined(__SANITIZE_THREAD__)
  thread_state_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)()) : entry_(entry), stack_(map_stack(nullptr, 0)), stack_bytes_(fiber_stack_bytes) {
  restart();
}

Fiber::~Fiber() {
  destroy_context(context_);
  if (entry_ == nullptr) return;
  allow(stack_, stack_bytes_);
  munmap(stack_ - page, stack_bytes_ + page);
}

void Fiber::restart() {
  allow(stack_, stack_bytes_);
#if defined(__SANITIZE_ADDRESS__)
  if (fake_stack_ != nullptr) {
    // Megabytes that only a fiber which is left for good gives back: so it is entered, in name, and left.
    void* mine = nullptr;
    const void* stack = nullptr;
    std::size_t bytes = 0;
    __sanitizer_start_switch_fiber(&mine, stack_, stack_bytes_);
    __sanitizer_finish_switch_fiber(fake_stack_, &stack, &bytes);
    __sanitizer_start_switch_fiber(nullptr, stack, bytes);
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
    fake_stack_ = nullptr;
  }
#elif defined(__SANITIZE_THREAD__)
  if (thread_state_ != nullptr) {
    // A thread may not end in the middle of the executor, so it is led out first. It has used the stack, which to the
    // new one has to be fresh memory.
    void* const caller = __tsan_get_current_fiber();
    const int depth = executor_depth_;
    __tsan_switch_to_fiber(thread_state_, __tsan_switch_to_fiber_no_sync);
    for (int left = depth; left > 0; --left)
      leave_executor();
    __tsan_switch_to_fiber(caller, __tsan_switch_to_fiber_no_sync);
    executor_depth += depth;  // which is the caller's
    __tsan_destroy_fiber(thread_state_);
    map_stack(stack_ - page, MAP_FIXED);
  }
  thread_state_ = __tsan_create_fiber(0);
  executor_depth_ = 0;
#endif
  context_ = make_context(context_, stack_, stack_bytes_);
}

// Not inlined: it is entered on one stack and left on another.
__attribute__((noinline)) void Fiber::switch_to(Fiber& next) {
  entry_of_next = next.entry_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, next.stack_, next.stack_bytes_);
#elif defined(__SANITIZE_THREAD__)
  executor_depth_ = executor_depth;
  executor_depth = next.executor_depth_;
  __tsan_switch_to_fiber(next.thread_state_, __tsan_switch_to_fiber_no_sync);
#endif
  switch_context(context_, next.context_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

}  // namespace dnas::simt
