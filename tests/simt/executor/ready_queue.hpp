#pragma once

#include "simt/executor.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace dnas::simt {

/// A small, fast generator (xorshift) whose draws do not depend on the standard library.
class Random {
 public:
  Random() = default;
  Random(std::uint64_t seed, std::uint64_t stream)
      : state_(((seed * 0xD1B54A32D192ED03U + 0x632BE59BD9B4E019U) ^ ((stream + 1) * 0x9E3779B97F4A7C15U)) | 1U) {
    for (int i = 0; i < 4; ++i)
      (void)next();
  }

  [[nodiscard]] std::uint64_t next() {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_ >> 11U;
  }
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_ = 1;
};

/// The threads of a block that can go on, in the order of a schedule. Holds numbers up to 1023.
class ReadyQueue {
 public:
  static constexpr int nobody = -1;

  void reset(Schedule schedule, Random* random);
  void add(unsigned thread);

  /// Of a thread that gives way: all others that can go on come first, but for `shuffled`, where chance decides.
  void add_after_others(unsigned thread);

  /// Takes out the next, or nobody.
  [[nodiscard]] int take();

 private:
  /// A set of threads as one word of 32 bits per warp and one that tells which of them are not zero.
  struct Set {
    std::array<std::uint32_t, 32> lanes{};
    std::uint32_t warps = 0;

    void insert(unsigned thread);
    unsigned take(bool last_warp, bool last_lane);
  };

  Schedule schedule_ = Schedule::ascending;
  Random* random_ = nullptr;
  Set now_;
  Set later_;                    // the next turn, or after all others
  std::vector<unsigned> drawn_;  // of Schedule::shuffled
};

}  // namespace dnas::simt
