#include "core/isa.hpp"

#include "core/v16.hpp"
#include "dnas/kernels/context.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

namespace dnas::kernels {

namespace {

constexpr std::array<std::pair<std::string_view, Isa>, 3> names{
    {{"baseline", Isa::baseline}, {"avx2", Isa::avx2}, {"avx512", Isa::avx512}}};

Isa available() noexcept {
#ifdef DNAS_HAVE_ISA_VERSIONS
  if (__builtin_cpu_supports("x86-64-v4")) return Isa::avx512;
  if (__builtin_cpu_supports("x86-64-v3")) return Isa::avx2;
#endif
  return Isa::baseline;
}

}  // namespace

std::optional<Isa> isa_of(std::string_view name) noexcept {
  const auto* const it = std::ranges::find(names, name, &std::pair<std::string_view, Isa>::first);
  return it == names.end() ? std::nullopt : std::optional(it->second);
}

Isa isa() noexcept {
  static const Isa chosen = [] {
    const char* variable = std::getenv("DNAS_ISA");
    return std::min(available(), isa_of(variable == nullptr ? "" : variable).value_or(Isa::avx512));
  }();
  return chosen;
}

}  // namespace dnas::kernels

std::string_view dnas::cpu_isa() noexcept {
  return kernels::names[static_cast<std::size_t>(kernels::isa())].first;
}
