#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>

// Executes CUDA kernels on the host, so that the sources that ship are tested on machines without a GPU. Every CUDA
// thread is a fiber that runs until it meets a barrier or a warp operation; the schedule decides who runs next. It
// finds wrong indices, missing or divergent barriers and, in sanitizer builds, bad addresses. It says nothing about
// speed, nor about the memory model of a GPU. Not thread-safe: one grid at a time.
namespace dnas::simt {

/// A kernel did what a GPU leaves undefined: threads of one block wait for each other in different places.
class Error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

struct Extent {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;

  constexpr Extent(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  [[nodiscard]] constexpr std::uint64_t count() const noexcept { return std::uint64_t{x} * y * z; }
};

// Where the running thread is; named as CUDA names them, in whose sources they appear.
inline Extent threadIdx;  // NOLINT(readability-identifier-naming)
inline Extent blockIdx;   // NOLINT(readability-identifier-naming)
inline Extent blockDim;   // NOLINT(readability-identifier-naming)
inline Extent gridDim;    // NOLINT(readability-identifier-naming)

/// Who runs next. No order is promised by a GPU, so a test of a kernel passes under all of them.
enum class Schedule : std::uint8_t {
  ascending,   ///< threads take turns in order
  descending,  ///< in reverse order
  shuffled,    ///< in a random order, drawn anew for every turn, the same in every run
  by_warp,     ///< the last warp runs as far as it can, then the one before it ...
};

inline constexpr Schedule all_schedules[] = {Schedule::ascending, Schedule::descending, Schedule::shuffled,
                                             Schedule::by_warp};

void set_schedule(Schedule schedule) noexcept;

/// Runs `kernel` once for every thread of the grid, block after block.
/// @throws Error if a block cannot go on
void run_grid(const Extent& grid, const Extent& block, const std::function<void()>& kernel);

/// Called by a kernel: waits for all threads of the block that have not returned.
void wait_for_block();

/// Called by a kernel: gives `bits` to the other lanes of the warp and gets those of the lane `offset` above, or its
/// own bits at the end of the warp.
/// @throws Error unless mask names all lanes
[[nodiscard]] std::uint64_t exchange_in_warp(unsigned mask, std::uint64_t bits, unsigned offset);

}  // namespace dnas::simt
