#include "core/philox.cuh"

#include "core/launch.cuh"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <vector>

namespace dnas::kernels::cuda {
namespace {

struct KnownAnswer {
  PhiloxStream draws;
  std::uint64_t element;
  uint4 words;
};

std::ostream& operator<<(std::ostream& out, const KnownAnswer& k) {
  return out << "element " << k.element;
}

constexpr std::uint32_t ones = 0xFFFFFFFFU;

// Vectors of Random123 for philox4x32-10. Counter: element (low, high), step, stream; key: seed (low, high).
const KnownAnswer known[] = {
    {{0, 0, 0}, 0, {0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U}},
    {{~std::uint64_t{0}, ones, ones}, ~std::uint64_t{0}, {0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU}},
    {{0x299F31D0A4093822U, 0x03707344U, 0x13198A2EU},
     0x85A308D3243F6A88U,
     {0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U}},
};

__global__ void draw_kernel(const PhiloxStream draws, std::uint64_t element, uint4* words, float* uniform,
                            float* normal, double* gumbel) {
  *words = draws.words(element);
  *uniform = draws.uniform(element);
  *normal = draws.normal(element);
  *gumbel = draws.gumbel(element);
}

class PhiloxStreamTiny : public testing::TestWithParam<KnownAnswer> {};

TEST_P(PhiloxStreamTiny, GivesTheKnownAnswersOfRandom123) {
  const auto& [draws, element, expected] = GetParam();
  simt::set_schedule(simt::Schedule::shuffled);
  uint4 words{};
  float uniform = 0.0F;
  float normal = 0.0F;
  double gumbel = 0.0;
  launch("draw", draw_kernel, {1, 1}, nullptr, draws, element, &words, &uniform, &normal, &gumbel);
  EXPECT_EQ(words.x, expected.x);
  EXPECT_EQ(words.y, expected.y);
  EXPECT_EQ(words.z, expected.z);
  EXPECT_EQ(words.w, expected.w);

  // What is made of them, in more digits.
  const long double first = expected.x;
  EXPECT_EQ(uniform, std::floor(static_cast<double>(expected.x) / 256.0) / 16777216.0);
  const long double two_pi = 8.0L * std::atan(1.0L);
  const auto box_muller = static_cast<double>(std::sqrt(-2.0L * std::log((first + 0.5L) / 4294967296.0L)) *
                                              std::cos(two_pi * static_cast<long double>(expected.y) / 4294967296.0L));
  EXPECT_NEAR(normal, box_muller, std::ldexp(std::abs(box_muller), -24) * 1.001);
  const long double u = (std::floor(first / 256.0L) + 0.5L) / 16777216.0L;
  const auto of_u = static_cast<double>(-std::log(-std::log(u)));
  EXPECT_NEAR(gumbel, of_u, 4.0 * std::numeric_limits<double>::epsilon() * (1.0 + std::abs(of_u)));
}

INSTANTIATE_TEST_SUITE_P(Vectors, PhiloxStreamTiny, testing::ValuesIn(known));

}  // namespace
}  // namespace dnas::kernels::cuda
