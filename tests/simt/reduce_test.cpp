#include "core/reduce.cuh"

#include "core/launch.cuh"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <vector>

// Sums of a block, twice in a row, since scratch is free for reuse when they return.
namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 64;

__global__ void block_sums_kernel(const double* in, double* out) {
  __shared__ double scratch[threads / 32];
  const double first = block_sum<threads>(in[threadIdx.x], scratch);
  const double second = block_sum<threads>(2.0 * in[threadIdx.x], scratch);
  if (threadIdx.x == 0) {
    out[0] = first;
    out[1] = second;
  }
}

/// out[call, column] = sum over the parts of (call + 1) in[part, column].
__global__ void parts_kernel(const double* in, int columns, int parts, double* out) {
  __shared__ Sum scratch[threads];
  for (int call = 0; call < 4; ++call) {
    add_parts<threads>(
        columns, parts, scratch, [&](int part, int column) { return Sum{(call + 1) * in[part * columns + column]}; },
        [&](int column, const Sum& sum) { out[call * columns + column] = sum.value; });
  }
}

class BlockSums : public testing::TestWithParam<simt::Schedule> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
};

TEST_P(BlockSums, AddAllThreads) {
  std::vector<double> in(threads);
  for (std::size_t i = 0; i < in.size(); ++i)
    in[i] = static_cast<double>(i);
  std::vector<double> out(2, -1.0);
  launch("block_sums", block_sums_kernel, {1, threads}, nullptr, in.data(), out.data());
  EXPECT_EQ(out, (std::vector<double>{2016.0, 4032.0}));
}

TEST_P(BlockSums, OfPartsAddEachColumn) {
  // More threads than columns, with some left over; as many; more columns, with a ragged end; fewer parts than sharers.
  for (const auto& [columns, parts] : {std::pair{5, 37}, {64, 4}, {150, 9}, {1, 300}, {3, 2}, {1, 1}}) {
    std::vector<double> in(static_cast<std::size_t>(columns * parts));
    for (std::size_t i = 0; i < in.size(); ++i)
      in[i] = static_cast<double>(i * 7 % 101);  // exact in any order
    std::vector<double> expected(static_cast<std::size_t>(4 * columns), 0.0);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::size_t width = static_cast<std::size_t>(columns);
      for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part)
        expected[i] += static_cast<double>(i / width + 1) * in[part * width + i % width];
    }
    std::vector<double> out(expected.size(), -1.0);
    launch("parts", parts_kernel, {1, threads}, nullptr, in.data(), columns, parts, out.data());
    EXPECT_EQ(out, expected) << columns << " columns, " << parts << " parts";
  }
}

INSTANTIATE_TEST_SUITE_P(TinySchedules, BlockSums, testing::ValuesIn(simt::all_schedules));

}  // namespace
}  // namespace dnas::kernels::cuda
