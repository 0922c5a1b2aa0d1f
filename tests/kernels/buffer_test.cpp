#include "dnas/kernels/buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

namespace dnas {
namespace {

TEST(Buffer, IsZeroedAndAligned) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{64}, std::size_t{1000}, std::size_t{1} << 20}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % Buffer::alignment, 0U);
    EXPECT_TRUE(std::all_of(buffer.data(), buffer.data() + bytes, [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(Buffer, OfNoBytesHoldsNothing) {
  EXPECT_EQ(Buffer{}.data(), nullptr);
  EXPECT_EQ(Buffer(0).data(), nullptr);
  EXPECT_TRUE(Buffer{}.f32().empty());
}

TEST(Buffer, ViewsWholeFloatsOnly) {
  Buffer buffer(11);
  EXPECT_EQ(buffer.f32().size(), 2U);
}

TEST(Buffer, MovesAndDoesNotCopy) {
  static_assert(!std::is_copy_constructible_v<Buffer> && !std::is_copy_assignable_v<Buffer>);
  Buffer from(256);
  const std::byte* data = from.data();
  const Buffer to = std::move(from);
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(to.bytes(), 256U);
}

TEST(Buffer, RefusesASizeThatWrapsAroundWhenRoundedUp) {
  EXPECT_THROW(Buffer(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
}

}  // namespace
}  // namespace dnas
