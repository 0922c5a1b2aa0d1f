#pragma once

#include "simt/executor/block.hpp"
#include "simt/executor/warp_operations.hpp"

#include <cstdint>
#include <cstring>

// Barriers, fences and warp operations. The line that calls them is part of what they mean to the executor.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the names are CUDA's.

inline constexpr int warpSize = 32;

inline void __syncthreads(const dnas::simt::Place& place = dnas::simt::Place::current()) {
  dnas::simt::running_block->barrier(false, place);
}
inline int __syncthreads_count(int predicate, const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return static_cast<int>(dnas::simt::running_block->barrier(predicate != 0, place).count);
}
inline int __syncthreads_or(int predicate, const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::running_block->barrier(predicate != 0, place).count > 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::running_block->barrier(predicate != 0, place).all ? 1 : 0;
}
inline void __syncwarp(unsigned mask = dnas::simt::all_lanes,
                       const dnas::simt::Place& place = dnas::simt::Place::current()) {
  dnas::simt::sync_warp(mask, place);
}

inline void __threadfence() {
  dnas::simt::running_block->at_fence();
}
inline void __threadfence_block() {
  dnas::simt::running_block->at_fence();
}
/// A thread that waits for another in a loop must call it: nobody is interrupted.
inline void __nanosleep(unsigned /*nanoseconds*/) {
  dnas::simt::running_block->yield();
}

namespace dnas::simt {

template <typename T>
T shuffle_value(unsigned mask, T value, unsigned source, const Place& place) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, source, place);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace dnas::simt

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::shuffle_value(mask, value, dnas::simt::source_of_index(lane, width), place);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::shuffle_value(mask, value, dnas::simt::source_up(delta, width), place);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::shuffle_value(mask, value, dnas::simt::source_down(delta, width), place);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::shuffle_value(mask, value, dnas::simt::source_xor(lane_mask, width), place);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::vote(mask, predicate != 0, place).yes;
}
inline int __any_sync(unsigned mask, int predicate, const dnas::simt::Place& place = dnas::simt::Place::current()) {
  return dnas::simt::vote(mask, predicate != 0, place).yes != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, const dnas::simt::Place& place = dnas::simt::Place::current()) {
  const dnas::simt::Votes votes = dnas::simt::vote(mask, predicate != 0, place);
  return votes.yes == votes.arrived ? 1 : 0;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
