#include "ops/conv_cudnn.hpp"

#include "cuda_libraries/device.hpp"
#include "cuda_libraries/precision.hpp"
#include "reference/conv_ref.hpp"

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
  Shape x;
  std::int64_t out_channels;
  Conv conv;
  Gap x_gap;
  Gap y_gap;
};

const Case cases[] = {
    {"CifarStem", {8, 32, 32, 3}, 48, {}, {}, {}},
    {"ImageNetStem", {2, 56, 56, 3}, 24, {3, 3, 2, 2, 1, 1}, {}, {}},
    {"OneBySeven", {4, 9, 11, 32}, 16, {1, 7, 1, 1, 0, 3}, {}, {}},
    {"Slices", {4, 16, 16, 16}, 48, {}, {16, 32}, {48, 0}},
    {"SlicesOffLine", {3, 8, 8, 6}, 10, {}, {3, 2}, {1, 0}},  // neither 16-byte aligned nor whole 16 bytes apart
    {"OddChannels", {5, 9, 7, 5}, 11, {}, {}, {}},
    {"OnePixel", {1, 1, 1, 8}, 8, {}, {}, {}},
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

class ConvCudnn : public testing::TestWithParam<std::tuple<Case, Product>> {
 protected:
  void SetUp() override {
    if (const auto reason = test::no_device()) GTEST_SKIP() << *reason;
    handle = make_cudnn(0);
    stream = test::make_stream();
  }

  /// Runs a pass and returns the tensor it wrote; the reference's values are those of `x`, `w` and `dy`.
  Tensor run(Pass pass, Write write, bool captured = false) const {
    const bool weight = pass == Pass::backward_weight;
    const auto input = [&](const Tensor& values, Gap gap) { return DeviceTensor(values, gap, dtype); };
    const auto output = [&](const Shape& shape, Gap gap, DType type) {
      return write == Write::overwrite ? DeviceTensor(shape, gap, type)
                                       : DeviceTensor(Tensor::filled(shape, test::before), gap, type);
    };
    const DeviceTensor dx = pass == Pass::backward_data ? output(c.x, c.x_gap, dtype) : input(x, c.x_gap);
    const DeviceTensor dw = weight ? output(w.shape(), {}, DType::f32) : input(w, {});
    const DeviceTensor y = pass == Pass::forward ? output(dy.shape(), c.y_gap, dtype) : input(dy, c.y_gap);

    const CudnnDevice device(handle.get());
    const ConvPlan plan(device, pass, c.conv, dx.view(), dw.view(), y.view(),
                        {product, write, std::size_t{256} << 20U});
    const test::DeviceMemory workspace(plan.workspace_bytes());
    workspace.fill_with_nan();
    const auto submit = [&] { plan.run(handle.get(), dx.view(), dw.view(), y.view(), workspace.span(), stream.get()); };
    DNAS_CUDA_CHECK(cudaDeviceSynchronize());  // what filled the tensors ran on another stream
    if (captured) {
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
  Tensor x = test::operand(product, c.x, 1);
  Tensor w = test::operand(product, {c.out_channels, c.conv.kernel_h, c.conv.kernel_w, c.x[3]}, 2);
  Tensor dy = test::operand(product, c.conv.output_shape(c.x, c.out_channels), 3);
  reference::ConvProblem problem{c.conv, c.x, dy.shape()};
  CudnnHandle handle;
  test::Stream stream;
};

TEST_P(ConvCudnn, ForwardMatchesReference) {
  expect_close("y", run(Pass::forward, Write::overwrite), reference::conv_forward(problem, x.doubles(), w.doubles()),
               dtype);
}

TEST_P(ConvCudnn, DataGradientMatchesReference) {
  const auto expected = reference::conv_backward_data(problem, dy.doubles(), w.doubles());
  expect_close("dx", run(Pass::backward_data, Write::overwrite), expected, dtype);
  expect_close("dx_added", run(Pass::backward_data, Write::accumulate), test::plus(expected, test::before), dtype);
}

TEST_P(ConvCudnn, WeightGradientMatchesReference) {
  // With bfloat16, dw is rounded to it before it is added in f32.
  const auto expected = reference::conv_backward_weight(problem, x.doubles(), dy.doubles());
  expect_close("dw", run(Pass::backward_weight, Write::overwrite), expected, dtype);
  expect_close("dw_added", run(Pass::backward_weight, Write::accumulate), test::plus(expected, test::before), dtype);
}

TEST_P(ConvCudnn, ResultsAreTheSameEveryTimeAndInAGraph) {
  for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weight}) {
    const Tensor first = run(pass, Write::overwrite);
    EXPECT_TRUE(run(pass, Write::overwrite).same_bits(first));
    EXPECT_TRUE(run(pass, Write::overwrite, true).same_bits(first));
  }
}

INSTANTIATE_TEST_SUITE_P(, ConvCudnn, testing::Combine(testing::ValuesIn(cases), testing::ValuesIn(test::products)),
                         test::name_of<Case>);

}  // namespace
}  // namespace dnas::kernels::cuda
