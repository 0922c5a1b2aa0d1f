#pragma once

#include <cstdint>

namespace dnas::kernels {

/// Instruction sets that vector loops are compiled for (v16.hpp).
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

/// The best one the processor has, or the lower one that the environment variable DNAS_ISA (baseline, avx2, avx512)
/// allows: to test and to compare. Read once.
[[nodiscard]] Isa isa() noexcept;

}  // namespace dnas::kernels
