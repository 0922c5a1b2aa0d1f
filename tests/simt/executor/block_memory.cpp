#include "simt/executor/block_memory.hpp"

#include "simt/executor/misuse.hpp"
#include "simt/executor/sanitizers.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace dnas::simt {
namespace {

constexpr std::size_t red_zone = 64;
constexpr std::size_t max_arrays = 64;
constexpr std::size_t granularity = 16;  // of SharedMemory::take
constexpr std::byte red{0xA5};

constexpr std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

BlockMemory::~BlockMemory() {
  allow(memory_, capacity_);
  std::free(memory_);
}

void BlockMemory::begin_block(std::size_t bytes) {
  arrays_.clear();
  used_ = 0;
  given_ = bytes;
}

/// At the first array of a block, so that kernels without dynamic shared memory do not pay.
void BlockMemory::prepare() {
  const std::size_t needed = round_up(given_ + max_arrays * (red_zone + 2 * granularity) + red_zone, 128);
  allow(memory_, capacity_);
  if (needed != capacity_) {
    std::free(memory_);
    memory_ = static_cast<std::byte*>(std::aligned_alloc(128, needed));
    if (memory_ == nullptr) throw std::bad_alloc();
    capacity_ = needed;
  }
  std::memset(memory_, static_cast<int>(red), capacity_);
  forbid(memory_, capacity_);
}

std::byte* BlockMemory::take(std::size_t index, std::size_t bytes) {
  if (index < arrays_.size()) {
    if (arrays_[index].bytes != bytes) {
      throw Misuse("shared memory: array " + std::to_string(index) + " has " + std::to_string(bytes) +
                   " bytes here and " + std::to_string(arrays_[index].bytes) + " in another thread of the block");
    }
    return arrays_[index].begin;
  }
  if (index >= max_arrays) throw Misuse("shared memory: more than " + std::to_string(max_arrays) + " arrays");
  used_ += round_up(bytes, granularity);
  if (used_ > given_) {
    throw Misuse("shared memory: the kernel takes " + std::to_string(used_) + " bytes, but the launch gave " +
                 std::to_string(given_));
  }
  if (arrays_.empty()) prepare();
  const std::size_t end =
      arrays_.empty() ? 0 : static_cast<std::size_t>(arrays_.back().begin - memory_) + arrays_.back().bytes;
  std::byte* const begin = memory_ + round_up(end + red_zone, 2 * granularity) + granularity;
  allow(begin, bytes);
  std::memset(begin, 0xFF, bytes);
  arrays_.push_back({begin, bytes});
  return begin;
}

void BlockMemory::check_red_zones() const {
  if (address_sanitizer || arrays_.empty()) return;
  const std::byte* zone = memory_;
  for (std::size_t i = 0; i <= arrays_.size(); ++i) {
    const std::byte* const end = i < arrays_.size() ? arrays_[i].begin : zone + red_zone;
    if (std::any_of(zone, end, [](std::byte value) { return value != red; })) {
      throw Misuse("shared memory was written to " +
                   (i == 0 ? std::string("before array 0") : "behind array " + std::to_string(i - 1)) +
                   (i > 0 && i < arrays_.size() ? " or before array " + std::to_string(i) : ""));
    }
    if (i < arrays_.size()) zone = arrays_[i].begin + arrays_[i].bytes;
  }
}

bool BlockMemory::contains(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return !arrays_.empty() && at >= memory_ && at < memory_ + capacity_;
}

}  // namespace dnas::simt
