#pragma once

#include "core/thread_pool.hpp"
#include "dnas/kernels/context.hpp"

#include <cstdint>
#include <memory>
#include <type_traits>

namespace dnas::kernels {

/// Calls body(i) for i in [0, count), on at most as many threads as the context has; each takes the next i when it is
/// done with one. The body must not throw.
///
/// To keep results independent of the number of threads, cut the work into `count` pieces by shape alone and combine
/// their partial results afterwards in index order.
template <typename Body>
void parallel_for(const Context& ctx, std::int64_t count, Body&& body) {
  if (ctx.threads() == 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i)
      body(i);
    return;
  }
  using Object = std::remove_reference_t<Body>;
  const auto call = [](void* object, std::int64_t i) noexcept { (*static_cast<Object*>(object))(i); };
  run_on_threads(ctx.threads(), count, call,
                 const_cast<void*>(static_cast<const volatile void*>(std::addressof(body))));
}

}  // namespace dnas::kernels
