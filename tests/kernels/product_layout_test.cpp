#include "ops/product_layout.hpp"

#include "reference/linear_ref.hpp"
#include "support/tensors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::Tensor;

/// What a BLAS does with the description: D = op(A) op(B), all column-major.
void multiply(const ColumnMajorProduct& p, const float* a, const float* b, float* d) {
  for (std::int64_t column = 0; column < p.n; ++column) {
    for (std::int64_t row = 0; row < p.m; ++row) {
      double sum = 0.0;
      for (std::int64_t i = 0; i < p.k; ++i) {
        const double left = p.transpose_a ? a[i + row * p.lda] : a[row + i * p.lda];
        const double right = p.transpose_b ? b[column + i * p.ldb] : b[i + column * p.ldb];
        sum += left * right;
      }
      d[row + column * p.ldd] = static_cast<float>(sum);
    }
  }
}

class ProductLayout : public testing::TestWithParam<std::pair<Gap, Gap>> {
 protected:
  // All extents differ, so that no two can be mistaken for each other.
  static constexpr std::int64_t rows = 7;
  static constexpr std::int64_t inputs = 5;
  static constexpr std::int64_t outputs = 3;
  Gap x_gap = GetParam().first;
  Gap y_gap = GetParam().second;
  Tensor x = Tensor::random({rows, inputs}, 1, x_gap);
  Tensor w = Tensor::random({outputs, inputs}, 2);
  Tensor dy = Tensor::random({rows, outputs}, 3, y_gap);
  LinearExtents extents{rows, inputs, outputs, x.view().pixel_stride, dy.view().pixel_stride};
  reference::LinearProblem problem{rows, inputs, outputs};

  static void expect_equal(const Tensor& actual, const std::vector<double>& expected) {
    EXPECT_LT(test::max_relative_error(actual, expected), 1e-6);  // one rounding to f32
    EXPECT_TRUE(actual.gaps_untouched());
  }
};

TEST_P(ProductLayout, ForwardIsWTimesX) {
  const Tensor y({rows, outputs}, y_gap);
  multiply(column_major(Pass::forward, extents), w.view().f32(), x.view().f32(), y.view().f32());
  expect_equal(y, reference::linear_forward(problem, x.doubles(), w.doubles(), {}));
}

TEST_P(ProductLayout, DataGradientIsWTimesDy) {
  const Tensor dx({rows, inputs}, x_gap);
  multiply(column_major(Pass::backward_data, extents), w.view().f32(), dy.view().f32(), dx.view().f32());
  expect_equal(dx, reference::linear_backward_data(problem, dy.doubles(), w.doubles()));
}

TEST_P(ProductLayout, WeightGradientIsXTimesDy) {
  const Tensor dw({outputs, inputs});
  multiply(column_major(Pass::backward_weight, extents), x.view().f32(), dy.view().f32(), dw.view().f32());
  expect_equal(dw, reference::linear_backward_weight(problem, x.doubles(), dy.doubles()));
}

INSTANTIATE_TEST_SUITE_P(, ProductLayout, testing::Values(std::pair<Gap, Gap>{}, std::pair<Gap, Gap>{{2, 1}, {0, 4}}));

}  // namespace
}  // namespace dnas::kernels
