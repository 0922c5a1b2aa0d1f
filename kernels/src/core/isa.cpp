#include "core/isa.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace dnas::kernels {

namespace {

Isa of_processor() noexcept {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (__builtin_cpu_supports("x86-64-v4")) return Isa::avx512;
  if (__builtin_cpu_supports("x86-64-v3")) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa allowed() noexcept {
  const char* variable = std::getenv("DNAS_ISA");
  const std::string_view name = variable == nullptr ? "" : variable;
  if (name == "baseline") return Isa::baseline;
  if (name == "avx2") return Isa::avx2;
  return Isa::avx512;
}

}  // namespace

Isa isa() noexcept {
  static const Isa best = std::min(of_processor(), allowed());
  return best;
}

}  // namespace dnas::kernels
