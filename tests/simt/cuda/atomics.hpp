#pragma once

#include "simt/executor/block.hpp"

#include <algorithm>
#include <atomic>
#include <concepts>
#include <type_traits>

// Atomics on the integers that CUDA has them for. On floats there are none here: the order of their additions would
// change from run to run, and our results do not. They order no other memory, as in CUDA; ThreadSanitizer does not look
// at them, since to it a plain store that follows, such as the last block's reset of a counter, would race with them.
namespace dnas::simt {

template <typename T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;

/// Replaces *p by change(*p). Returns what was there.
template <typename T, typename Change>
T change_atomically(T* p, Change&& change) {
  const InExecutor guard;
  running_block->at_atomic();
  const std::atomic_ref<T> value(*p);
  T old = value.load(std::memory_order_relaxed);
  while (!value.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace dnas::simt

template <dnas::simt::AtomicInteger T>
T atomicAdd(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return old + operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicSub(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return old - operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicMin(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return std::min(old, operand); });
}
template <dnas::simt::AtomicInteger T>
T atomicMax(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return std::max(old, operand); });
}
template <dnas::simt::AtomicInteger T>
T atomicAnd(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return old & operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicOr(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return old | operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicXor(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T old) { return old ^ operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicExch(T* p, std::type_identity_t<T> operand) {
  return dnas::simt::change_atomically(p, [operand](T /*old*/) { return operand; });
}
template <dnas::simt::AtomicInteger T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> desired) {
  return dnas::simt::change_atomically(p, [=](T old) { return old == expected ? desired : old; });
}
/// Counts up to `last` and then begins at 0 again.
inline unsigned atomicInc(unsigned* p, unsigned last) {
  return dnas::simt::change_atomically(p, [last](unsigned old) { return old >= last ? 0U : old + 1; });
}
inline unsigned atomicDec(unsigned* p, unsigned last) {
  return dnas::simt::change_atomically(p, [last](unsigned old) { return old == 0 || old > last ? last : old - 1; });
}
