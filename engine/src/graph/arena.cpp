#include "graph/arena.hpp"

#include "dnas/kernels/buffer.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace dnas::engine {

namespace {

std::size_t round_up(std::size_t bytes) {
  return (bytes + Buffer::alignment - 1) / Buffer::alignment * Buffer::alignment;
}

}  // namespace

std::size_t place_blocks(std::span<Block> blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });

  std::vector<std::size_t> placed;  // by offset
  std::size_t end = 0;
  for (const std::size_t index : order) {
    Block& block = blocks[index];
    const std::size_t bytes = round_up(block.bytes);
    std::size_t offset = 0;
    for (const std::size_t other_index : placed) {
      const Block& other = blocks[other_index];
      if (other.last < block.first || other.first > block.last) continue;
      if (offset + bytes <= other.offset) break;
      offset = std::max(offset, other.offset + round_up(other.bytes));
    }
    block.offset = offset;
    end = std::max(end, offset + bytes);
    const auto at = std::upper_bound(placed.begin(), placed.end(), offset,
                                     [&](std::size_t value, std::size_t i) { return value < blocks[i].offset; });
    placed.insert(at, index);
  }
  return end;
}

std::size_t peak_live_bytes(std::span<const Block> blocks) {
  std::size_t nodes = 0;
  for (const Block& block : blocks)
    nodes = std::max(nodes, block.last + 2);
  std::vector<std::size_t> born(nodes, 0);
  std::vector<std::size_t> died(nodes, 0);
  for (const Block& block : blocks) {
    born[block.first] += round_up(block.bytes);
    died[block.last + 1] += round_up(block.bytes);
  }
  std::size_t live = 0;
  std::size_t peak = 0;
  for (std::size_t i = 0; i < nodes; ++i) {
    live = live + born[i] - died[i];
    peak = std::max(peak, live);
  }
  return peak;
}

}  // namespace dnas::engine
