#include "ops/widen_cuda.hpp"

#include "simt/device_array.hpp"
#include "simt/executor.hpp"
#include "support/bf16.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

// Vectors, single values for the count's sake, single values for the alignment's; the last one is walked with a stride.
class WidenCuda : public testing::TestWithParam<std::tuple<std::size_t, std::size_t, Write, simt::Schedule>> {};

TEST_P(WidenCuda, AddsWhatBfloat16Holds) {
  const auto [count, offset, write, schedule] = GetParam();
  simt::set_schedule(schedule);
  simt::DeviceArray values(count, 1);
  simt::DeviceArray y(count, 2, offset);
  std::vector<std::uint16_t> x(count);
  std::vector<float> expected;
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = test::to_bf16(values.values()[i]);
    const float wide = test::from_bf16(x[i]);
    expected.push_back(write == Write::accumulate ? y.values()[i] + wide : wide);
    if (write == Write::overwrite) y.values()[i] = std::numeric_limits<float>::quiet_NaN();
  }
  cuda::widen(x.data(), y.data(), static_cast<std::int64_t>(count), write, nullptr);
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(y.values()[i], expected[i]) << i;
  EXPECT_TRUE(y.intact());
}

INSTANTIATE_TEST_SUITE_P(Counts, WidenCuda,
                         testing::Combine(testing::Values(1, 2595, 2596), testing::Values(0, 1),
                                          testing::Values(Write::overwrite, Write::accumulate),
                                          testing::ValuesIn(simt::all_schedules)));
INSTANTIATE_TEST_SUITE_P(Tiny, WidenCuda,
                         testing::Combine(testing::Values(2595), testing::Values(0), testing::Values(Write::accumulate),
                                          testing::Values(simt::Schedule::shuffled)));
INSTANTIATE_TEST_SUITE_P(Strided, WidenCuda,
                         testing::Combine(testing::Values(1024 * 256 + 300), testing::Values(1),
                                          testing::Values(Write::accumulate),
                                          testing::Values(simt::Schedule::descending)));

}  // namespace
}  // namespace dnas::kernels
