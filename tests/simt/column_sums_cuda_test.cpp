#include "ops/column_sums_cuda.hpp"

#include "reference/linear_ref.hpp"
#include "simt/executor.hpp"
#include "support/bf16.hpp"
#include "support/tensors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::Tensor;

struct Case {
  const char* name;
  std::int64_t rows;
  std::int64_t columns;
  Gap gap;
};

const Case cases[] = {
    {"OneValue", 1, 1, {}},
    {"FewRows", 5, 10, {}},               // fewer than the groups of a block
    {"Slice", 67, 33, {3, 4}},            // a ragged second block, rows of a wider tensor
    {"ManyRows", 8 * 16 * 5 + 3, 7, {}},  // several f32 runs per thread
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

class ColumnSumsCuda : public testing::TestWithParam<std::tuple<Case, DType, simt::Schedule>> {};

TEST_P(ColumnSumsCuda, MatchLoops) {
  const auto& [c, dtype, schedule] = GetParam();
  simt::set_schedule(schedule);
  Tensor dy = Tensor::random({c.rows, c.columns}, 1, c.gap);
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(c.rows * dy.view().pixel_stride), test::to_bf16(NAN));
  TensorView view = dy.view();
  if (dtype == DType::bf16) {
    dy = test::rounded_to_bf16(std::move(dy));
    for (std::int64_t i = 0; i < dy.size(); ++i) {
      const std::int64_t place = i / c.columns * view.pixel_stride + i % c.columns;
      halves[static_cast<std::size_t>(place)] = test::to_bf16(dy[i]);
    }
    view = {halves.data(), view.shape, view.pixel_stride, DType::bf16};
  }
  const Tensor db({c.columns});
  cuda::column_sums(view, db.view(), nullptr);

  const auto expected = reference::linear_backward_bias(
      {static_cast<std::size_t>(c.rows), 0, static_cast<std::size_t>(c.columns)}, dy.doubles());
  for (std::int64_t i = 0; i < c.columns; ++i) {
    // Runs of 16 values below 1 are added in f32, their sums in f64, and the result is rounded once.
    const double tolerance = static_cast<double>(c.rows) * 16 * 0x1p-24;
    EXPECT_NEAR(db[i], expected[static_cast<std::size_t>(i)], tolerance);
  }
  EXPECT_TRUE(db.gaps_untouched());
}

INSTANTIATE_TEST_SUITE_P(Shapes, ColumnSumsCuda,
                         testing::Combine(testing::ValuesIn(cases), testing::Values(DType::f32, DType::bf16),
                                          testing::ValuesIn(simt::all_schedules)));
INSTANTIATE_TEST_SUITE_P(Tiny, ColumnSumsCuda,
                         testing::Combine(testing::Values(cases[2]), testing::Values(DType::f32),
                                          testing::Values(simt::Schedule::shuffled)));

}  // namespace
}  // namespace dnas::kernels
