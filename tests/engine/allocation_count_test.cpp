#include "support/allocation_count.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

// Replaces the global operators of this test program, to be able to say that something does not allocate.
namespace {

std::atomic<std::int64_t> count{0};
std::atomic<std::int64_t> bytes{0};

void* counted_or_null(std::size_t size, std::size_t alignment) noexcept {
  count.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(static_cast<std::int64_t>(size), std::memory_order_relaxed);
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
}

void* counted(std::size_t size, std::size_t alignment) {
  void* const memory = counted_or_null(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

// All forms, for a sanitizer brings its own of those that are left out. The compiler does not see that these belong
// together.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
using Alignment = std::align_val_t;
using NoThrow = std::nothrow_t;
void* operator new(std::size_t n) {
  return counted(n, usual);
}
void* operator new[](std::size_t n) {
  return counted(n, usual);
}
void* operator new(std::size_t n, Alignment a) {
  return counted(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, Alignment a) {
  return counted(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, const NoThrow&) noexcept {
  return counted_or_null(n, usual);
}
void* operator new[](std::size_t n, const NoThrow&) noexcept {
  return counted_or_null(n, usual);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, Alignment) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, Alignment) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, Alignment) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, Alignment) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const NoThrow&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, const NoThrow&) noexcept {
  std::free(memory);
}

namespace dnas::test {

std::int64_t allocations() noexcept {
  return count.load();
}

std::int64_t allocated_bytes() noexcept {
  return bytes.load();
}

TEST(AllocationCount, SeesAnAllocation) {
  const std::int64_t count_before = allocations();
  const std::int64_t bytes_before = allocated_bytes();
  const std::vector<int> values(1000, 3);
  const std::int64_t count_after = allocations();
  EXPECT_EQ(allocated_bytes(), bytes_before + 4000);
  EXPECT_EQ(count_after, count_before + 1) << values[0];
}

}  // namespace dnas::test
