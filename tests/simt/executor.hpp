#pragma once

#include "simt/cuda/vector_types.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

// Executes CUDA kernels on the host, so that the sources that ship are tested on machines without a GPU. This header is
// what tests use; kernels see the stand-ins for the toolkit's headers in simt/include. What the executor models, what
// it catches and what it cannot know: docs/kernels_testing.md.
//
// Every thread of a grid is a fiber that runs until it meets a barrier, a warp operation, a fence or an atomic; the
// schedule decides who goes on. Blocks are spread over a few threads of the operating system. A launch returns when the
// grid has been executed; launches from several threads take turns. Settings apply to launches that start later.
namespace dnas::simt {

/// A kernel did what a GPU refuses, or leaves undefined. Names the block, the thread and the schedule; thrown by the
/// launch. The executor remains usable.
class Error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Who runs next. No order is promised by a GPU, so a test of a kernel passes under all of them.
enum class Schedule : std::uint8_t {
  ascending,   ///< threads take turns in order, blocks too; asynchronous copies land as late as they may
  descending,  ///< in reverse order; asynchronous copies land at once
  shuffled,    ///< drawn from (seed, block), copies too; the same in every run, whatever the number of workers
  by_warp,     ///< the last warp runs as far as it can, then the one before it ...; copies land late
};

inline constexpr Schedule all_schedules[] = {Schedule::ascending, Schedule::descending, Schedule::shuffled,
                                             Schedule::by_warp};

/// The schedule is `ascending` until this is called.
void set_schedule(Schedule schedule) noexcept;

/// Of Schedule::shuffled. Starts as environment variable SIMT_SEED, or 1.
void set_seed(std::uint64_t seed) noexcept;

/// Threads of the operating system that execute blocks. Starts as environment variable SIMT_WORKERS; 0, the default:
/// one per processor, at most 16, and at least two under ThreadSanitizer.
void set_workers(unsigned count) noexcept;

/// Whether a barrier that other threads of the block have passed by returning is an error. It is not on a GPU since
/// sm_70, so `false` at the start.
void set_strict_return(bool strict) noexcept;

/// One accepted launch.
struct LaunchRecord {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;     ///< dynamic
  std::size_t parameter_bytes = 0;  ///< of all kernel parameters
  const void* kernel = nullptr;     ///< its address, to tell kernels apart
};

/// While it lives, launches (of all threads) are checked and recorded, but no kernel is executed: for counting the
/// launches of a whole training step. What is asked of a launch's shape holds as ever. A second one that starts
/// meanwhile records in its place.
class LaunchRecorder {
 public:
  LaunchRecorder();
  ~LaunchRecorder();
  LaunchRecorder(const LaunchRecorder&) = delete;
  LaunchRecorder& operator=(const LaunchRecorder&) = delete;
  LaunchRecorder(LaunchRecorder&&) = delete;
  LaunchRecorder& operator=(LaunchRecorder&&) = delete;

  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::vector<LaunchRecord> launches() const;

 private:
  friend bool record_if_asked(const LaunchRecord& launch);
  LaunchRecorder* previous_;
  std::vector<LaunchRecord> launches_;
};

[[nodiscard]] inline LaunchRecorder record_launches() {
  return {};
}

}  // namespace dnas::simt
