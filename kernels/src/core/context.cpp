#include "dnas/kernels/context.hpp"

#include "core/cpu_count.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas {

Context Context::cpu(int threads) {
  if (threads < 0) throw ConfigError(fmt::format("context: threads is {}, expected 0 (all) or more", threads));
  Context context;
  context.threads_ = threads == 0 ? kernels::default_threads() : threads;
  return context;
}

}  // namespace dnas
