#pragma once

#include <cstddef>
#include <span>

namespace dnas::engine {

/// A piece of memory that is needed from node `first` to node `last`, both included.
struct Block {
  std::size_t bytes = 0;
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t offset = 0;  ///< set by place_blocks
};

/// Gives every block an offset so that blocks alive at the same time do not overlap; returns the bytes in use.
/// Largest first, each at the lowest free offset. Offsets and the result are multiples of 64.
std::size_t place_blocks(std::span<Block> blocks);

/// The most that is alive at one node: no placement can be smaller.
[[nodiscard]] std::size_t peak_live_bytes(std::span<const Block> blocks);

}  // namespace dnas::engine
