#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dnas::kernels {

/// Instruction sets that the loops of v16.hpp are compiled for.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

/// nothing if no instruction set has this name
[[nodiscard]] std::optional<Isa> isa_of(std::string_view name) noexcept;

/// The best one that the processor has and this build contains, or the lower one that the environment variable DNAS_ISA
/// names: to test and to compare. Read once. Loops marked DNAS_MULTIVERSION (simd.hpp) do not heed it.
[[nodiscard]] Isa isa() noexcept;

}  // namespace dnas::kernels
