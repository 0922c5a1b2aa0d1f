#pragma once

#include <cstdint>

namespace dnas::test {

/// How often operator new ran in this process, and for how many bytes, in all threads and over all time. The counting
/// operator is in allocation_count_test.cpp.
[[nodiscard]] std::int64_t allocations() noexcept;
[[nodiscard]] std::int64_t allocated_bytes() noexcept;

}  // namespace dnas::test
