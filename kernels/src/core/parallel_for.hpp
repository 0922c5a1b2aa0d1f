#pragma once

#include "dnas/kernels/context.hpp"

#include <cstdint>

namespace dnas::kernels {

/// Calls body(i) for i in [0, count), statically divided over the context's threads. The body must not throw.
///
/// To keep results independent of the number of threads, cut the work into `count` pieces by shape alone and combine
/// their partial results afterwards in index order.
template <typename Body>
void parallel_for(const Context& ctx, std::int64_t count, Body&& body) {
  const int threads = ctx.threads();
  if (threads == 1 || count == 1) {
    for (std::int64_t i = 0; i < count; ++i)
      body(i);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t i = 0; i < count; ++i)
    body(i);
}

}  // namespace dnas::kernels
