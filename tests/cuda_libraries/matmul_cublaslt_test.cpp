#include "ops/matmul_cublaslt.hpp"

#include "cuda_libraries/device.hpp"
#include "cuda_libraries/precision.hpp"
#include "ops/column_sums_cuda.hpp"
#include "reference/linear_ref.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <tuple>

namespace dnas::kernels::cuda {
namespace {

using test::DeviceTensor;
using test::Gap;
using test::max_relative_error;
using test::Tensor;

struct Case {
  const char* name;
  Shape x;  // [N, I], or an image [N, H, W, I]
  std::int64_t outputs;
  Gap x_gap;
  Gap y_gap;
};

const Case cases[] = {
    {"CifarHead", {96, 256}, 10, {}, {}},
    {"ImageNetHead", {64, 384}, 1000, {}, {}},
    {"OneSample", {1, 64}, 10, {}, {}},
    {"OddExtents", {37, 19}, 7, {}, {}},
    {"Pointwise", {8, 16, 16, 64}, 16, {}, {}},
    {"PointwiseSlices", {8, 16, 16, 32}, 64, {64, 32}, {64, 128}},
    {"PointwiseSlicesOffLine", {2, 7, 9, 6}, 10, {3, 2}, {1, 0}},
    {"PointwiseManyPixels", {16, 32, 32, 16}, 16, {}, {}},  // a long sum for dw: split, if anything is
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

class MatmulCublasLt : public testing::TestWithParam<std::tuple<Case, Product>> {
 protected:
  void SetUp() override {
    if (const auto reason = test::no_device()) GTEST_SKIP() << *reason;
    handle = make_cublaslt(0);
    stream = test::make_stream();
  }

  [[nodiscard]] MatmulPlan plan(Pass pass, const TensorView& x_view, const TensorView& w_view, const TensorView& y_view,
                                const MatmulOptions& options) const {
    return c.x.rank() == 2 ? plan_linear(handle.get(), pass, x_view, w_view, y_view, options)
                           : plan_pointwise_conv(handle.get(), pass, {}, x_view, w_view, y_view, options);
  }

  struct How {
    Write write = Write::overwrite;
    DType result = DType::f32;
    bool bias = false;
    bool captured = false;
  };

  Tensor run(Pass pass, const How& how) const {
    const auto input = [&](const Tensor& values, Gap gap) { return DeviceTensor(values, gap, dtype); };
    const auto output = [&](const Shape& shape, Gap gap) {
      return how.write == Write::overwrite ? DeviceTensor(shape, gap, how.result)
                                           : DeviceTensor(Tensor::filled(shape, test::before), gap, how.result);
    };
    const DeviceTensor dx = pass == Pass::backward_data ? output(x.shape(), c.x_gap) : input(x, c.x_gap);
    const DeviceTensor dw = pass == Pass::backward_weight ? output(w.shape(), {}) : input(w, {});
    const DeviceTensor y = pass == Pass::forward ? output(dy.shape(), c.y_gap) : input(dy, c.y_gap);
    const DeviceTensor bias(b, {}, DType::f32);

    MatmulPlan planned =
        plan(pass, dx.view(), dw.view(), y.view(), {product, how.write, how.bias, std::size_t{32} << 20U});
    const test::DeviceMemory workspace(planned.workspace_bytes());
    workspace.fill_with_nan();
    const auto submit = [&] {
      planned.run(handle.get(), dx.view(), dw.view(), how.bias ? bias.view() : TensorView(), y.view(), workspace.span(),
                  stream.get());
    };
    DNAS_CUDA_CHECK(cudaDeviceSynchronize());  // what filled the tensors ran on another stream
    if (how.captured) {
      test::run_captured(stream, submit);
    } else {
      submit();
      test::wait_for(stream);
    }
    return pass == Pass::forward ? y.values() : pass == Pass::backward_data ? dx.values() : dw.values();
  }

  void expect_close(const char* what, const Tensor& actual, const std::vector<double>& expected, DType result) const {
    const double error = max_relative_error(actual, expected);
    EXPECT_LT(error, test::tolerance(product, result)) << what;
    RecordProperty(what, std::to_string(error));
  }

  const Case& c = std::get<0>(GetParam());
  Product product = std::get<1>(GetParam());
  DType dtype = test::operand_type(product);
  Shape y_shape = c.x.rank() == 2 ? Shape{c.x[0], c.outputs} : Shape{c.x[0], c.x[1], c.x[2], c.outputs};
  Tensor x = test::operand(product, c.x, 1);
  Tensor w = test::operand(product, {c.outputs, c.x[-1]}, 2);
  Tensor dy = test::operand(product, y_shape, 3);
  Tensor b = Tensor::random({c.outputs}, 4);
  // A 1x1 convolution is a linear layer of every pixel.
  reference::LinearProblem problem{static_cast<std::size_t>(c.x.elements() / c.x[-1]),
                                   static_cast<std::size_t>(c.x[-1]), static_cast<std::size_t>(c.outputs)};
  CublasLtHandle handle;
  test::Stream stream;
};

TEST_P(MatmulCublasLt, ForwardMatchesReference) {
  const auto plain = reference::linear_forward(problem, x.doubles(), w.doubles(), {});
  expect_close("y", run(Pass::forward, {.result = dtype}), plain, dtype);
  const auto biased = reference::linear_forward(problem, x.doubles(), w.doubles(), b.doubles());
  expect_close("y_biased", run(Pass::forward, {.bias = true}), biased, DType::f32);
}

TEST_P(MatmulCublasLt, DataGradientMatchesReference) {
  const auto expected = reference::linear_backward_data(problem, dy.doubles(), w.doubles());
  expect_close("dx", run(Pass::backward_data, {.result = dtype}), expected, dtype);
  expect_close("dx_added", run(Pass::backward_data, {.write = Write::accumulate, .result = dtype}),
               test::plus(expected, test::before), dtype);
}

TEST_P(MatmulCublasLt, WeightGradientMatchesReference) {
  const auto expected = reference::linear_backward_weight(problem, x.doubles(), dy.doubles());
  expect_close("dw", run(Pass::backward_weight, {}), expected, DType::f32);
  expect_close("dw_added", run(Pass::backward_weight, {.write = Write::accumulate}), test::plus(expected, test::before),
               DType::f32);
}

TEST_P(MatmulCublasLt, BiasGradientMatchesReference) {
  const DeviceTensor device_dy(dy, c.y_gap, dtype);
  const DeviceTensor db({c.outputs}, {}, DType::f32);
  DNAS_CUDA_CHECK(cudaDeviceSynchronize());
  column_sums(device_dy.view(), db.view(), stream.get());
  test::wait_for(stream);
  // Operands are exact in either type and sums are f32 and f64.
  EXPECT_LT(max_relative_error(db.values(), reference::linear_backward_bias(problem, dy.doubles())), 1e-6);
}

TEST_P(MatmulCublasLt, ResultsAreTheSameEveryTimeAndInAGraph) {
  for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weight}) {
    const DType result = pass == Pass::backward_weight ? DType::f32 : dtype;
    const Tensor first = run(pass, {.result = result});
    EXPECT_TRUE(run(pass, {.result = result}).same_bits(first));
    EXPECT_TRUE(run(pass, {.result = result, .captured = true}).same_bits(first));
  }
}

INSTANTIATE_TEST_SUITE_P(, MatmulCublasLt,
                         testing::Combine(testing::ValuesIn(cases), testing::ValuesIn(test::products)),
                         test::name_of<Case>);

}  // namespace
}  // namespace dnas::kernels::cuda
