#include "dnas/kernels/context.hpp"

#include "core/cpu_count.hpp"
#include "core/isa.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace dnas {

namespace {

/// The name in DNAS_ISA, if it is not one. Read once.
const std::string& unknown_isa() {
  static const std::string name = [] {
    const char* variable = std::getenv("DNAS_ISA");
    return variable == nullptr || kernels::isa_of(variable) ? std::string() : std::string(variable);
  }();
  return name;
}

}  // namespace

Context Context::cpu(int threads) {
  if (!unknown_isa().empty()) {
    throw ConfigError(fmt::format("context: DNAS_ISA is '{}', expected baseline, avx2 or avx512", unknown_isa()));
  }
  if (threads < 0) throw ConfigError(fmt::format("context: threads is {}, expected 0 (all) or more", threads));
  Context context;
  context.threads_ = threads == 0 ? kernels::default_threads() : threads;
  return context;
}

}  // namespace dnas
