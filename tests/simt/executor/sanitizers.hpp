#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

// What the executor tells AddressSanitizer and ThreadSanitizer. Nothing is left of it in other builds.
namespace dnas::simt {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

/// From now on an access to the memory is an error.
inline void forbid([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(memory, bytes);
#endif
}

inline void allow([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

#if defined(__SANITIZE_THREAD__)
/// How often the running fiber has entered the executor and not left it.
inline constinit thread_local int executor_depth = 0;
#endif

/// ThreadSanitizer takes every fiber for a thread of its own, and fibers share the executor's memory without locks. So
/// between enter_executor() and leave_executor() a fiber's accesses are not looked at.
inline void enter_executor() {
#if defined(__SANITIZE_THREAD__)
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  ++executor_depth;
#endif
}

inline void leave_executor() {
#if defined(__SANITIZE_THREAD__)
  --executor_depth;
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

class InExecutor {
 public:
  InExecutor() { enter_executor(); }
  ~InExecutor() { leave_executor(); }
  InExecutor(const InExecutor&) = delete;
  InExecutor& operator=(const InExecutor&) = delete;
};

/// A point that orders memory: what its threads did before publish() happened before what others do after observe() of
/// the same point. Switching between fibers orders nothing by itself.
class OrderingPoint {
 public:
  void publish() {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&key_);
#endif
  }
  void observe() {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&key_);
#endif
  }

 private:
  [[maybe_unused]] char key_ = 0;
};

/// Publishes at one point what was published at another, without the calling thread learning of it.
class Courier {
 public:
#if defined(__SANITIZE_THREAD__)
  Courier() : carrier_(__tsan_create_fiber(0)) {}
  ~Courier() {
    __tsan_destroy_fiber(carrier_);
  }
#else
  Courier() = default;
#endif
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;

  void carry([[maybe_unused]] OrderingPoint& from, [[maybe_unused]] OrderingPoint& to) {
#if defined(__SANITIZE_THREAD__)
    void* const caller = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(carrier_, __tsan_switch_to_fiber_no_sync);
    from.observe();
    to.publish();
    __tsan_switch_to_fiber(caller, __tsan_switch_to_fiber_no_sync);
#endif
  }

 private:
  [[maybe_unused]] void* carrier_ = nullptr;  // a thread to ThreadSanitizer, and nothing else
};

}  // namespace dnas::simt
