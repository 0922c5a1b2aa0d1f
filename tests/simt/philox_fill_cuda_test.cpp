#include "ops/philox_fill_cuda.hpp"

#include "simt/device_array.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

namespace dnas::kernels {
namespace {

using simt::DeviceArray;

/// Elements on both sides of 2^32, a key and a step that use all their words.
const cuda::PhiloxDraws draws{0xFEDCBA9876543210ULL, Stream::weight_init, 0x89ABCDEFU, (1ULL << 32U) - 700};

class PhiloxFillCuda : public testing::TestWithParam<std::tuple<std::size_t, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  std::size_t count = std::get<0>(GetParam());
  DeviceArray out{count, 1, 1};
  Philox host{draws.seed, draws.stream, draws.step};
};

TEST_P(PhiloxFillCuda, UniformIsTheHostsBitForBit) {
  cuda::fill_uniform(out.values(), draws, 0.3F, nullptr);
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(out.values()[i], 0.3F * (2.0F * host.uniform(draws.first + i) - 1.0F)) << "element " << i;
  EXPECT_TRUE(out.intact());
}

TEST_P(PhiloxFillCuda, NormalIsTheHosts) {
  cuda::fill_normal(out.values(), draws, 1e-3F, nullptr);
  for (std::size_t i = 0; i < count; ++i) {
    const float expected = 1e-3F * host.normal(draws.first + i);
    // The last bit; where the cosine is nearly 0, what the host's argument of it was rounded by: 2 pi 2^-53.
    ASSERT_NEAR(out.values()[i], expected, std::ldexp(std::abs(expected), -23) + 1e-14F * 1e-3F) << "element " << i;
  }
  EXPECT_TRUE(out.intact());
}

INSTANTIATE_TEST_SUITE_P(Lengths, PhiloxFillCuda,
                         testing::Combine(testing::Values(1, 255, 1500), testing::ValuesIn(simt::all_schedules)));
INSTANTIATE_TEST_SUITE_P(Tiny, PhiloxFillCuda,
                         testing::Combine(testing::Values(600), testing::Values(simt::Schedule::shuffled)));

// Vectors of Random123 for philox4x32-10: of the first word's top 24 bits, 2 u - 1 is exact.
TEST(PhiloxFillCudaKnown, UniformIsThatOfRandom123) {
  constexpr std::uint32_t ones = 0xFFFFFFFFU;
  struct Known {
    cuda::PhiloxDraws draws;
    std::uint32_t first_word;
  };
  const Known all[] = {
      {{0, static_cast<Stream>(0), 0, 0}, 0x6627E8D5U},
      {{~std::uint64_t{0}, static_cast<Stream>(ones), ones, ~std::uint64_t{0}}, 0x408F276DU},
      {{0x299F31D0A4093822U, static_cast<Stream>(0x03707344U), 0x13198A2EU, 0x85A308D3243F6A88U}, 0xD16CFE09U}};
  for (const Known& known : all) {
    DeviceArray out(1, 1);
    cuda::fill_uniform(out.values(), known.draws, 1.0F, nullptr);
    EXPECT_EQ(out.values()[0], 2.0 * (known.first_word >> 8U) / 16777216.0 - 1.0);
  }
}

TEST(PhiloxFillCudaLong, ArraysAreWalkedWithAStride) {
  simt::set_schedule(simt::Schedule::ascending);
  constexpr std::size_t count = 1024 * 256 + 100;
  DeviceArray out(count, 1);
  cuda::fill_uniform(out.values(), draws, 1.0F, nullptr);
  const Philox host(draws.seed, draws.stream, draws.step);
  for (const std::size_t i : {std::size_t{0}, count - 101, count - 100, count - 1})
    EXPECT_EQ(out.values()[i], 2.0F * host.uniform(draws.first + i) - 1.0F) << "element " << i;
  EXPECT_TRUE(out.intact());
}

}  // namespace
}  // namespace dnas::kernels
