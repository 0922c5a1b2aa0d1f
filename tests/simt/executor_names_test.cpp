#include "core/launch.cuh"
#include "simt/executor.hpp"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

// The names of CUDA that the stand-ins for its headers give: arithmetic, bits, atomics, bfloat16.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;

TEST(ExecutorNames, Arithmetic) {
  EXPECT_EQ(rsqrtf(4.0F), 0.5F);
  EXPECT_EQ(rsqrt(0.25), 2.0);
  EXPECT_EQ(__fdividef(1.0F, 8.0F), 0.125F);
  EXPECT_EQ(__expf(0.0F), 1.0F);
  EXPECT_NEAR(__logf(10.0F), std::numbers::ln10, 1e-6);
  EXPECT_EQ(__log2f(8.0F), 3.0F);
  EXPECT_EQ(__saturatef(-1.0F) + __saturatef(0.25F) + __saturatef(7.0F), 1.25F);
  EXPECT_EQ(__fmaf_rn(3.0F, 4.0F, 5.0F), 17.0F);
  EXPECT_EQ(__float2int_rn(2.5F), 2);
  EXPECT_EQ(__float2int_rd(-0.5F), -1);
  EXPECT_EQ(min(3, -4) + max(3, -4), -1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(min(nan, 1.0F), 1.0F);
  EXPECT_EQ(max(2.0F, nan), 2.0F);
}

TEST(ExecutorNames, SineAndCosineOfMultiplesOfPi) {
  for (int i = -40; i <= 40; ++i) {
    const float x = static_cast<float>(i) / 8.0F;
    float sine = 0.0F;
    float cosine = 0.0F;
    sincospif(x, &sine, &cosine);
    EXPECT_NEAR(sine, std::sin(std::numbers::pi * x), 1e-7) << x;
    EXPECT_NEAR(cosine, std::cos(std::numbers::pi * x), 1e-7) << x;
    EXPECT_EQ(sinpif(x), sine);
    EXPECT_EQ(cospif(x), cosine);
    if (i % 8 == 0) {
      EXPECT_EQ(sine, 0.0F);
    }
    if (std::abs(i % 8) == 4) {
      EXPECT_EQ(cosine, 0.0F);
    }
  }
}

TEST(ExecutorNames, CosineOfMultiplesOfPiInDouble) {
  const long double pi = std::numbers::pi_v<long double>;
  for (int i = -400; i <= 400; ++i) {
    const double x = i / 64.0;
    EXPECT_NEAR(cospi(x), static_cast<double>(std::cos(pi * static_cast<long double>(x))), 4e-16) << x;
    if (i % 32 == 0) {
      EXPECT_EQ(cospi(x), i % 64 != 0 ? 0.0 : i % 128 == 0 ? 1.0 : -1.0) << x;
    }
  }
  // Nearly 0, where cos(pi x) of a rounded pi x has no digits left.
  const double tiny = std::ldexp(1.0, -50);
  EXPECT_NEAR(cospi(0.5 + tiny) / (-std::numbers::pi * tiny), 1.0, 4e-16);
  EXPECT_NEAR(cospi(1.5 - tiny) / (-std::numbers::pi * tiny), 1.0, 4e-16);
  EXPECT_TRUE(std::isnan(cospi(std::numeric_limits<double>::infinity())));
}

TEST(ExecutorNames, Bits) {
  EXPECT_EQ(__float_as_uint(1.0F), 0x3F800000U);
  EXPECT_EQ(__uint_as_float(0xC0000000U), -2.0F);
  EXPECT_EQ(__int_as_float(__float_as_int(-7.5F)), -7.5F);
  EXPECT_EQ(__longlong_as_double(__double_as_longlong(0.1)), 0.1);
  EXPECT_EQ(__popc(0xF0F0U), 8);
  EXPECT_EQ(__popcll(0xFFFFFFFFFFULL), 40);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__umulhi(0xFFFFFFFFU, 0x80000000U), 0x7FFFFFFFU);
  const int one = 1;
  EXPECT_EQ(__ldg(&one), 1);
}

TEST(ExecutorNames, VectorsAreAlignedAsOnTheDevice) {
  EXPECT_EQ(alignof(float2), 8U);
  EXPECT_EQ(alignof(float4), 16U);
  EXPECT_EQ(alignof(uint2), 8U);
  EXPECT_EQ(alignof(uint4), 16U);
  EXPECT_EQ(alignof(float3), 4U);
  EXPECT_EQ(sizeof(float4) + sizeof(uint2) + sizeof(int2) + sizeof(int4) + sizeof(double2), 16U + 8U + 8U + 16U + 16U);
  const uint4 v = make_uint4(1, 2, 3, 4);
  EXPECT_EQ(v.x * 1000 + v.y * 100 + v.z * 10 + v.w, 1234U);
}

/// Each thread applies every atomic once; all but the exchanges have a result that no order changes.
__global__ void atomics_kernel(int* a, unsigned* b, unsigned long long* c) {
  const int i = static_cast<int>(threadIdx.x);
  atomicAdd(&a[0], i);
  atomicSub(&a[1], 1);
  atomicMin(&a[2], i - 5);
  atomicMax(&a[3], i);
  atomicAnd(&b[0], ~(1U << i % 8));
  atomicOr(&b[1], 1U << i % 32);
  atomicXor(&b[2], static_cast<unsigned>(i));
  atomicInc(&b[3], 9);
  atomicDec(&b[4], 9);
  atomicExch(&b[5], 77);
  atomicAdd(c, 1ULL << 33U);
  int seen = atomicAdd(&a[4], 0);
  for (int expected = seen; (seen = atomicCAS(&a[4], expected, expected + 2)) != expected;)
    expected = seen;
}

TEST(ExecutorNames, Atomics) {
  for (const Schedule schedule : all_schedules) {
    set_schedule(schedule);
    std::vector<int> a{0, 0, 100, -100, 0};
    std::vector<unsigned> b{0xFFFFU, 0, 0, 0, 0, 0};
    unsigned long long c = 1;
    launch("atomics", atomics_kernel, {3, 100}, nullptr, a.data(), b.data(), &c);
    EXPECT_EQ(a, (std::vector<int>{3 * 4950, -300, -5, 99, 600}));
    // 3 x (0 ^ 1 ^ ... ^ 99) is one of them, 0; counters wrap at 10: 300 steps up, 300 down.
    EXPECT_EQ(b, (std::vector<unsigned>{0xFF00U, 0xFFFFFFFFU, 0, 0, 0, 77}));
    EXPECT_EQ(c, 1ULL + 300 * (1ULL << 33U));
  }
}

template <typename T>
concept HasAtomicAdd = requires(T* p, T value) {
  atomicAdd(p, value);
};

TEST(ExecutorNames, FloatsHaveNoAtomics) {
  EXPECT_TRUE(HasAtomicAdd<int> && HasAtomicAdd<unsigned> && HasAtomicAdd<unsigned long long>);
  EXPECT_FALSE(HasAtomicAdd<float>);
  EXPECT_FALSE(HasAtomicAdd<double>);
}

TEST(ExecutorNames, BfloatRoundsToNearestEven) {
  const auto stored = [](float x) { return __bfloat162float(__float2bfloat16_rn(x)); };
  const float unit = std::ldexp(1.0F, -7);  // between 1 and 2
  EXPECT_EQ(stored(1.0F + 0.49F * unit), 1.0F);
  EXPECT_EQ(stored(1.0F + 0.5F * unit), 1.0F);
  EXPECT_EQ(stored(1.0F + 1.5F * unit), 1.0F + 2 * unit);
  EXPECT_EQ(stored(-1.0F - 0.51F * unit), -1.0F - unit);
  EXPECT_TRUE(std::isinf(stored(std::numeric_limits<float>::max())));
  EXPECT_TRUE(std::isnan(stored(std::numeric_limits<float>::quiet_NaN())));
  const float2 pair = __bfloat1622float2(__floats2bfloat162_rn(1.5F, -2.0F));
  EXPECT_EQ(pair.x, 1.5F);
  EXPECT_EQ(pair.y, -2.0F);
  EXPECT_EQ(__high2float(__halves2bfloat162(__float2bfloat16(1.0F), __float2bfloat16(3.0F))), 3.0F);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(1.0F)), 0x3F80);
}

}  // namespace
}  // namespace dnas::simt
