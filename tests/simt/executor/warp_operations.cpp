#include "simt/executor/warp_operations.hpp"

#include "simt/executor/block.hpp"

namespace dnas::simt {
namespace {

struct Shuffle {
  std::uint64_t bits;
  unsigned source;
  std::uint64_t result;
};

void exchange(void* const* slots, unsigned arrived) {
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((arrived >> lane & 1U) == 0) continue;
    auto& mine = *static_cast<Shuffle*>(slots[lane]);
    const bool there = (arrived >> mine.source & 1U) != 0;
    mine.result = there ? static_cast<const Shuffle*>(slots[mine.source])->bits : ~std::uint64_t{0};
  }
}

struct Ballot {
  bool predicate;
  Votes votes;
};

void count_votes(void* const* slots, unsigned arrived) {
  Votes votes{0, arrived};
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((arrived >> lane & 1U) != 0 && static_cast<const Ballot*>(slots[lane])->predicate) votes.yes |= 1U << lane;
  }
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((arrived >> lane & 1U) != 0) static_cast<Ballot*>(slots[lane])->votes = votes;
  }
}

unsigned checked(int width) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    throw Misuse("a shuffle of width " + std::to_string(width) + ", which is no power of two up to 32");
  return static_cast<unsigned>(width);
}

}  // namespace

std::uint64_t shuffle(unsigned mask, std::uint64_t bits, unsigned source, const Place& place) {
  Shuffle mine{bits, source, 0};
  running_block->warp_operation(mask, exchange, &mine, Memory::unordered, place);
  const InExecutor guard;  // another fiber wrote the result
  return mine.result;
}

unsigned source_of_index(int lane, int width) {
  const unsigned segment = checked(width);
  return (running_block->lane() & ~(segment - 1)) | (static_cast<unsigned>(lane) & (segment - 1));
}

unsigned source_up(unsigned delta, int width) {
  const unsigned segment = checked(width);
  const unsigned lane = running_block->lane();
  return (lane & (segment - 1)) < delta ? lane : lane - delta;
}

unsigned source_down(unsigned delta, int width) {
  const unsigned segment = checked(width);
  const unsigned lane = running_block->lane();
  return (lane & (segment - 1)) + delta >= segment ? lane : lane + delta;
}

unsigned source_xor(int lane_mask, int width) {
  const unsigned segment = checked(width);
  const unsigned lane = running_block->lane();
  const unsigned source = (lane ^ static_cast<unsigned>(lane_mask)) % warp_size;
  return source > (lane | (segment - 1)) ? lane : source;  // earlier segments may be read
}

Votes vote(unsigned mask, bool predicate, const Place& place) {
  Ballot mine{predicate, {}};
  running_block->warp_operation(mask, count_votes, &mine, Memory::unordered, place);
  const InExecutor guard;
  return mine.votes;
}

void sync_warp(unsigned mask, const Place& place) {
  running_block->warp_operation(mask, nullptr, nullptr, Memory::ordered, place);
}

}  // namespace dnas::simt
