#include "graph/arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace dnas::engine {
namespace {

constexpr std::size_t alignment = 64;

std::size_t rounded(std::size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

bool together(const Block& a, const Block& b) {
  return a.first <= b.last && b.first <= a.last;
}

void expect_valid(const std::vector<Block>& blocks, std::size_t total) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Block& a = blocks[i];
    EXPECT_EQ(a.offset % alignment, 0U);
    EXPECT_LE(a.offset + a.bytes, total);
    end = std::max(end, a.offset + rounded(a.bytes));
    for (std::size_t j = 0; j < i; ++j) {
      const Block& b = blocks[j];
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      EXPECT_TRUE(apart || !together(a, b) || a.bytes == 0 || b.bytes == 0) << "blocks " << i << " and " << j;
    }
  }
  EXPECT_EQ(total, end);
}

/// By counting at every node.
std::size_t live_bytes(const std::vector<Block>& blocks) {
  std::size_t peak = 0;
  for (const Block& at : blocks) {  // the peak is at some block's first node
    std::size_t live = 0;
    for (const Block& block : blocks)
      live += block.first <= at.first && at.first <= block.last ? rounded(block.bytes) : 0;
    peak = std::max(peak, live);
  }
  return peak;
}

TEST(Arena, BlocksAliveTogetherNeverOverlap) {
  std::mt19937_64 random(1);
  for (int set = 0; set < 400; ++set) {
    const std::size_t nodes = 1 + random() % 60;
    std::vector<Block> blocks(random() % 120);
    for (Block& block : blocks) {
      block.bytes = random() % 5 == 0 ? 0 : random() % 5000;
      block.first = random() % nodes;
      block.last = block.first + random() % (nodes - block.first);
    }
    const std::size_t total = place_blocks(blocks);
    expect_valid(blocks, total);
    EXPECT_EQ(peak_live_bytes(blocks), live_bytes(blocks));
    EXPECT_GE(total, live_bytes(blocks));
    EXPECT_EQ(total % alignment, 0U);
  }
}

TEST(Arena, TrainingTakesLittleMoreThanWhatIsAlive) {
  // A step: node i makes an activation that its mirror image reads in the backward pass, and the gradient before dies.
  std::mt19937_64 random(2);
  for (int set = 0; set < 50; ++set) {
    const std::size_t depth = 20 + random() % 60;
    std::vector<Block> blocks;
    for (std::size_t i = 0; i < depth; ++i) {
      const std::size_t bytes = 1024 << random() % 4;
      const std::size_t mirror = 2 * depth - 1 - i;
      blocks.push_back({bytes, i, random() % 3 == 0 ? i + 1 : mirror, 0});
      blocks.push_back({bytes, mirror, mirror + 1 + random() % 4, 0});
      blocks.push_back({random() % 4096, i, i, 0});  // scratch
    }
    const std::size_t total = place_blocks(blocks);
    expect_valid(blocks, total);
    EXPECT_LE(static_cast<double>(total), 1.3 * static_cast<double>(peak_live_bytes(blocks)));
  }
}

TEST(Arena, BlocksThatFollowEachOtherShareOnePlace) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < 10; ++i)
    blocks.push_back({100, i, i, 0});
  EXPECT_EQ(place_blocks(blocks), 128U);
  EXPECT_EQ(peak_live_bytes(blocks), 128U);
}

TEST(Arena, NeighboursInTimeBothLiveAtTheirCommonNode) {
  std::vector<Block> blocks{{64, 0, 1, 0}, {64, 1, 2, 0}};
  EXPECT_EQ(place_blocks(blocks), 128U);
}

TEST(Arena, NothingTakesNothing) {
  EXPECT_EQ(place_blocks({}), 0U);
  EXPECT_EQ(peak_live_bytes({}), 0U);
  std::vector<Block> empty{{0, 0, 3, 0}, {0, 1, 1, 0}};
  EXPECT_EQ(place_blocks(empty), 0U);
  EXPECT_EQ(peak_live_bytes(empty), 0U);
}

}  // namespace
}  // namespace dnas::engine
