#pragma once

#include "simt/executor/misuse.hpp"

#include <cstdint>

// What lanes of a warp exchange. A lane reads 0xFF.. where CUDA leaves the value undefined.
namespace dnas::simt {

/// The bits that lane `source` came with.
[[nodiscard]] std::uint64_t shuffle(unsigned mask, std::uint64_t bits, unsigned source, const Place& place);

/// The lane that a shuffle reads; `width`, a power of two up to 32, cuts the warp into segments.
[[nodiscard]] unsigned source_of_index(int lane, int width);
[[nodiscard]] unsigned source_up(unsigned delta, int width);
[[nodiscard]] unsigned source_down(unsigned delta, int width);
[[nodiscard]] unsigned source_xor(int lane_mask, int width);

struct Votes {
  unsigned yes = 0;      ///< lanes that came with true
  unsigned arrived = 0;  ///< lanes that took part
};

[[nodiscard]] Votes vote(unsigned mask, bool predicate, const Place& place);

void sync_warp(unsigned mask, const Place& place);

}  // namespace dnas::simt
