#pragma once

#include "simt/executor/context.hpp"

#include <cstddef>

namespace dnas::simt {

/// A stack and the place where its execution stopped. A fiber stays on the thread of the operating system it was made
/// on: the compiler may keep addresses of thread-local variables across a switch.
class Fiber {
 public:
  /// The calling thread itself, to be switched back to.
  Fiber();

  /// A new stack with a page behind its end that may not be touched; execution begins with `entry`, which must not
  /// return.
  explicit Fiber(void (*entry)());

  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Forgets what was executed on the stack, without unwinding it, and begins again.
  void restart();

  /// Leaves this fiber, which must be the running one, for `next`. Orders no memory (sanitizers.hpp).
  void switch_to(Fiber& next);

 private:
  friend void fiber_begins();

  void (*entry_)() = nullptr;
  std::byte* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  Context context_ = nullptr;
  [[maybe_unused]] void* fake_stack_ = nullptr;    // of AddressSanitizer
  [[maybe_unused]] void* thread_state_ = nullptr;  // of ThreadSanitizer
  [[maybe_unused]] int executor_depth_ = 0;        // where the fiber was left
};

}  // namespace dnas::simt
