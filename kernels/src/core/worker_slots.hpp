#pragma once

#include "core/parallel_for.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace dnas::kernels {

/// How many workers share `count` items: each has scratch of its own.
[[nodiscard]] inline std::int64_t worker_slots(const Context& ctx, std::int64_t count) {
  return std::clamp<std::int64_t>(ctx.threads(), 1, std::max<std::int64_t>(count, 1));
}

/// Calls body(item, slot) for every item in [0, count), after start(slot) where a slot gets one at all; at any time one
/// thread is in a slot. Which slot an item falls to is chance: results must not depend on it.
template <typename Start, typename Body>
void parallel_for_slots(const Context& ctx, std::int64_t count, Start&& start, Body&& body) {
  std::atomic<std::int64_t> next{0};
  parallel_for(ctx, worker_slots(ctx, count), [&](std::int64_t slot) {
    std::int64_t item = next.fetch_add(1, std::memory_order_relaxed);
    if (item < count) start(slot);
    for (; item < count; item = next.fetch_add(1, std::memory_order_relaxed))
      body(item, slot);
  });
}

}  // namespace dnas::kernels
