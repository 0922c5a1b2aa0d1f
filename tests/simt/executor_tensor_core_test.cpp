#include "core/launch.cuh"
#include "core/ptx.cuh"
#include "core/shared_memory.cuh"
#include "simt/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

// mma, ldmatrix, to_tf32 and larger against plain loops. Fragments are spelt out here as core/ptx.cuh and the
// PTX manual give them, so that the executor's tables are not compared with themselves.
namespace dnas::simt {
namespace {

using kernels::cuda::launch;
using kernels::cuda::SharedMemory;

// Small multiples of a power of two: products and sums are exact in every format, in any order.
float value(int i) {
  return static_cast<float>((i * 37 + 11) % 29 - 14) * 0.125F;
}

__global__ void mma_tf32_kernel(const float* a, const float* b, float* d) {  // [16, 8], [8, 8], [16, 8]
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int member = static_cast<int>(threadIdx.x) % 4;
  const unsigned a_part[4] = {
      kernels::cuda::to_tf32(a[group * 8 + member]), kernels::cuda::to_tf32(a[(group + 8) * 8 + member]),
      kernels::cuda::to_tf32(a[group * 8 + member + 4]), kernels::cuda::to_tf32(a[(group + 8) * 8 + member + 4])};
  const unsigned b_part[2] = {kernels::cuda::to_tf32(b[member * 8 + group]),
                              kernels::cuda::to_tf32(b[(member + 4) * 8 + group])};
  float d_part[4] = {d[group * 8 + 2 * member], d[group * 8 + 2 * member + 1], d[(group + 8) * 8 + 2 * member],
                     d[(group + 8) * 8 + 2 * member + 1]};
  kernels::cuda::mma_tf32(d_part, a_part, b_part);
  d[group * 8 + 2 * member] = d_part[0];
  d[group * 8 + 2 * member + 1] = d_part[1];
  d[(group + 8) * 8 + 2 * member] = d_part[2];
  d[(group + 8) * 8 + 2 * member + 1] = d_part[3];
}

class ExecutorTensorCore : public testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { set_schedule(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Schedules, ExecutorTensorCore, testing::ValuesIn(all_schedules));

TEST_P(ExecutorTensorCore, Tf32ProductMatchesLoops) {
  std::vector<float> a(16 * 8);
  std::vector<float> b(8 * 8);
  std::vector<float> d(16 * 8);
  for (int i = 0; i < 16 * 8; ++i)
    a[static_cast<std::size_t>(i)] = value(i) * 1.00001F;  // the factor is below half of TF32's precision
  for (int i = 0; i < 8 * 8; ++i)
    b[static_cast<std::size_t>(i)] = value(i + 77);
  std::vector<float> expected(16 * 8);
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t n = 0; n < 8; ++n) {
      d[m * 8 + n] = value(static_cast<int>(m + 5 * n));
      double sum = d[m * 8 + n];
      for (std::size_t k = 0; k < 8; ++k)
        sum += static_cast<double>(value(static_cast<int>(m * 8 + k))) * b[k * 8 + n];
      expected[m * 8 + n] = static_cast<float>(sum);
    }
  }
  launch("mma_tf32", mma_tf32_kernel, {1, 32}, nullptr, a.data(), b.data(), d.data());
  EXPECT_EQ(d, expected);
}

__global__ void mma_tf32_bits_kernel(unsigned a, unsigned b, float* d) {
  const unsigned a_part[4] = {a, a, a, a};
  const unsigned b_part[2] = {threadIdx.x % 4 == 0 ? b : 0, 0};  // one term of the sum
  float d_part[4] = {};
  kernels::cuda::mma_tf32(d_part, a_part, b_part);
  if (threadIdx.x == 0) *d = d_part[0];
}

TEST_P(ExecutorTensorCore, Tf32IgnoresTheLowBits) {
  float d = 0.0F;
  launch("mma_tf32_bits", mma_tf32_bits_kernel, {1, 32}, nullptr, std::bit_cast<unsigned>(1.5F) | 0x1FFFU,
         std::bit_cast<unsigned>(2.0F) | 0x1000U, &d);
  EXPECT_EQ(d, 3.0F);
}

/// 16-byte rows of a matrix of 16-bit elements, as ldmatrix wants them.
constexpr int row_elements = 8;

/// a [16, 16], b [16, 8]; a by ldmatrix, b by ldmatrix of its rows (transposed on the way) or of its columns.
template <bool Transposed>
__global__ void mma_bf16_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  SharedMemory memory;
  auto* const a_shared = memory.take<std::uint16_t>(16 * 16);
  auto* const b_shared = memory.take<std::uint16_t>(16 * 8);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 16 * 16; i += 32)
    a_shared[i] = a[i];
  for (int i = lane; i < 16 * 8; i += 32)
    b_shared[i] = Transposed ? b[i] : b[i % 16 * 8 + i / 16];  // [16, 8], or its transpose [8, 16]
  __syncwarp();
  unsigned a_part[4];
  unsigned b_part[2];
  kernels::cuda::ldmatrix_x4(a_part, a_shared + lane % 16 * 16 + lane / 16 * row_elements);
  if constexpr (Transposed) {
    kernels::cuda::ldmatrix_x2<true>(b_part, b_shared + lane % 16 * row_elements);
  } else {
    kernels::cuda::ldmatrix_x2(b_part, b_shared + lane % 8 * 16 + lane / 8 % 2 * row_elements);
  }
  float d_part[4] = {1.0F, 1.0F, 1.0F, 1.0F};
  kernels::cuda::mma_bf16(d_part, a_part, b_part);
  const int group = lane / 4;
  const int member = lane % 4;
  d[group * 8 + 2 * member] = d_part[0];
  d[group * 8 + 2 * member + 1] = d_part[1];
  d[(group + 8) * 8 + 2 * member] = d_part[2];
  d[(group + 8) * 8 + 2 * member + 1] = d_part[3];
}

TEST_P(ExecutorTensorCore, Bf16ProductMatchesLoops) {
  std::vector<std::uint16_t> a(16 * 16);
  std::vector<std::uint16_t> b(16 * 8);
  const auto bits = [](float x) { return static_cast<std::uint16_t>(std::bit_cast<unsigned>(x) >> 16U); };
  for (int i = 0; i < 16 * 16; ++i)
    a[static_cast<std::size_t>(i)] = bits(value(i));
  for (int i = 0; i < 16 * 8; ++i)
    b[static_cast<std::size_t>(i)] = bits(value(i + 500));
  std::vector<float> expected(16 * 8);
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      double sum = 1.0;
      for (int k = 0; k < 16; ++k)
        sum += static_cast<double>(value(m * 16 + k)) * value(k * 8 + n + 500);
      expected[static_cast<std::size_t>(m * 8 + n)] = static_cast<float>(sum);
    }
  }
  std::vector<float> d(16 * 8);
  launch("mma_bf16", mma_bf16_kernel<false>, {1, 32, 1024}, nullptr, a.data(), b.data(), d.data());
  EXPECT_EQ(d, expected);
  d.assign(d.size(), 0.0F);
  launch("mma_bf16", mma_bf16_kernel<true>, {1, 32, 1024}, nullptr, a.data(), b.data(), d.data());
  EXPECT_EQ(d, expected);
}

template <bool Transposed>
__global__ void ldmatrix_kernel(unsigned* out) {
  SharedMemory memory;
  auto* const shared = memory.take<std::uint16_t>(32 * row_elements);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 32 * row_elements; i += 32)
    shared[i] = static_cast<std::uint16_t>(i);  // matrix m, row r, column c holds m 64 + r 8 + c
  __syncwarp();
  unsigned four[4];
  kernels::cuda::ldmatrix_x4<Transposed>(four, shared + lane * row_elements);
  unsigned two[2];
  kernels::cuda::ldmatrix_x2<Transposed>(two, lane < 16 ? shared + (lane ^ 1) * row_elements : nullptr);
  for (int i = 0; i < 4; ++i)
    out[lane * 6 + i] = four[i];
  for (int i = 0; i < 2; ++i)
    out[lane * 6 + 4 + i] = two[i];
}

TEST_P(ExecutorTensorCore, LdmatrixHandsOutEveryMatrix) {
  std::vector<unsigned> rows(32 * 6);
  std::vector<unsigned> columns(32 * 6);
  launch("ldmatrix", ldmatrix_kernel<false>, {1, 32, 512}, nullptr, rows.data());
  launch("ldmatrix", ldmatrix_kernel<true>, {1, 32, 512}, nullptr, columns.data());
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane / 4;
    const unsigned pair = lane % 4 * 2;
    for (unsigned i = 0; i < 6; ++i) {
      const unsigned swap = i < 4 ? 0 : 1;  // the rows of the last two were named in pairs the other way round
      const auto element = [&](unsigned row, unsigned column) { return i % 4 * 64 + (row ^ swap) * 8 + column; };
      ASSERT_EQ(rows[lane * 6 + i], element(group, pair) | element(group, pair + 1) << 16U) << lane << ", " << i;
      ASSERT_EQ(columns[lane * 6 + i], element(pair, group) | element(pair + 1, group) << 16U) << lane << ", " << i;
    }
  }
}

template <int Fault>
__global__ void bad_operand_kernel(const std::uint16_t* global) {
  SharedMemory memory;
  auto* const shared = memory.take<std::uint16_t>(32 * row_elements);
  unsigned four[4];
  unsigned two[2] = {};
  float d[4] = {};
  if (Fault == 0) kernels::cuda::ldmatrix_x4(four, shared + 1);
  if (Fault == 1) kernels::cuda::ldmatrix_x4(four, global);
  if (Fault == 2 && threadIdx.x != 7) kernels::cuda::ldmatrix_x4(four, shared);
  if (Fault == 3 && threadIdx.x != 7) kernels::cuda::mma_bf16(d, {1, 2, 3, 4}, two);
}

template <int Fault>
std::string fault() {
  alignas(16) std::uint16_t global[8] = {};
  try {
    launch("bad_operand", bad_operand_kernel<Fault>, {1, 32, 512}, nullptr, global);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_P(ExecutorTensorCore, WhatADeviceWouldNotDoIsAnError) {
  EXPECT_THAT(fault<0>(), testing::ContainsRegex("ldmatrix at executor_tensor_core_test.cpp:[0-9]+: the row is misal"));
  EXPECT_THAT(fault<1>(), testing::HasSubstr("the row is not in an array of SharedMemory"));
  EXPECT_THAT(fault<2>(), testing::HasSubstr("ldmatrix needs all lanes of a warp"));
  EXPECT_THAT(fault<3>(), testing::HasSubstr("mma needs all lanes of a warp"));
}

TEST(ExecutorTf32, RoundsToNearestTiesAway) {
  const auto rounded = [](float x) { return std::bit_cast<float>(kernels::cuda::to_tf32(x)); };
  const float unit = std::ldexp(1.0F, -10);  // between 1 and 2
  EXPECT_EQ(rounded(1.0F), 1.0F);
  EXPECT_EQ(rounded(1.0F + 0.49F * unit), 1.0F);
  EXPECT_EQ(rounded(1.0F + 0.5F * unit), 1.0F + unit);
  EXPECT_EQ(rounded(-1.0F - 0.5F * unit), -1.0F - unit);
  EXPECT_EQ(rounded(1.0F + 1.5F * unit), 1.0F + 2 * unit);
  EXPECT_EQ(rounded(2.0F - 0.25F * unit), 2.0F);  // carries into the exponent
  EXPECT_TRUE(std::isinf(rounded(INFINITY)));
  EXPECT_TRUE(std::isnan(rounded(NAN)));
}

TEST(ExecutorLarger, KeepsNaN) {
  using kernels::cuda::larger;
  using kernels::cuda::positive_part;
  EXPECT_EQ(larger(-3.0F, 2.0F), 2.0F);
  EXPECT_EQ(larger(2.0F, -INFINITY), 2.0F);
  EXPECT_TRUE(std::isnan(larger(NAN, 1.0F)) && std::isnan(larger(1.0F, NAN)));
  EXPECT_EQ(positive_part(2.5F), 2.5F);
  EXPECT_EQ(positive_part(-2.5F), 0.0F);
  EXPECT_EQ(positive_part(INFINITY), INFINITY);
  EXPECT_FALSE(std::signbit(positive_part(-0.0F)));
  EXPECT_TRUE(std::isnan(positive_part(NAN)));
}

}  // namespace
}  // namespace dnas::simt
