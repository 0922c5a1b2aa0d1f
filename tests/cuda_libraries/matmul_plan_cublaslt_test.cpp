#include "ops/matmul_cublaslt.hpp"

#include "dnas/kernels/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

// What a plan refuses before it asks cuBLASLt, which needs no device.
namespace dnas::kernels::cuda {
namespace {

using testing::HasSubstr;

struct Views {
  TensorView x{nullptr, {96, 64}};
  TensorView w{nullptr, {10, 64}};
  TensorView y{nullptr, {96, 10}};
};

template <typename Change>
std::string linear_message(Change change, Pass pass = Pass::forward, MatmulOptions options = {}) {
  Views v;
  change(v);
  try {
    static_cast<void>(plan_linear(nullptr, pass, v.x, v.w, v.y, options));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MatmulPlan, RefusesArgumentsThatAreWrong) {
  EXPECT_THAT(linear_message([](Views& v) {
                v.x.shape = {96, 8, 8, 1};
              }),
              HasSubstr("linear_forward: x is [96, 8, 8, 1], expected a tensor of rank 2"));
  EXPECT_THAT(linear_message(
                  [](Views& v) {
                    v.w.shape = {10, 63};
                  },
                  Pass::backward_data),
              HasSubstr("linear_backward_data: w is [10, 63], expected [10, 64]"));
  EXPECT_THAT(linear_message(
                  [](Views& v) {
                    v.y.shape = {95, 10};
                  },
                  Pass::backward_weight),
              HasSubstr("linear_backward_weight: dy is [95, 10], expected [96, 10]"));
  EXPECT_THAT(linear_message([](Views& v) { v.w.pixel_stride = 65; }), HasSubstr("w is a slice, expected it dense"));
  EXPECT_THAT(linear_message([](Views& v) { v.y.pixel_stride = 9; }), HasSubstr("y has pixel stride 9"));
  EXPECT_THAT(linear_message([](Views& v) {
                v.x.shape = {0, 64};
                v.y.shape = {0, 10};
              }),
              HasSubstr("empty product"));
}

TEST(MatmulPlan, RefusesTypesThatDoNotFitTheProduct) {
  EXPECT_THAT(linear_message([](Views& v) { v.x.dtype = DType::bf16; }),
              HasSubstr("linear_forward: x is bf16, expected f32"));
  EXPECT_THAT(linear_message([](Views&) {}, Pass::forward, {Product::bf16}),
              HasSubstr("linear_forward: x is f32, expected bf16"));
  const auto all_bf16 = [](Views& v) { v.x.dtype = v.w.dtype = v.y.dtype = DType::bf16; };
  EXPECT_THAT(linear_message(all_bf16, Pass::backward_weight, {Product::bf16}),
              HasSubstr("linear_backward_weight: dw is bf16, expected f32"));
  EXPECT_THAT(linear_message(all_bf16, Pass::forward, {Product::bf16, Write::overwrite, true}),
              HasSubstr("linear_forward: bias is set"));
  EXPECT_THAT(linear_message([](Views&) {}, Pass::backward_data, {Product::tf32, Write::overwrite, true}),
              HasSubstr("linear_backward_data: bias is set"));
}

TEST(MatmulPlan, WithoutAHandleTheLibrarySaysSo) {
  // All that can be said of the arguments is said before; what they reach then is cuBLASLt, and its status is readable.
  EXPECT_THAT(
      linear_message([](Views&) {}),
      testing::AllOf(testing::StartsWith("status: "), HasSubstr("CUBLAS_STATUS_"), HasSubstr("(matmul_cublaslt.cpp:")));
}

TEST(MatmulPlan, RefusesAStridedPointwiseConvolution) {
  const TensorView x(nullptr, {2, 8, 8, 16});
  const TensorView w(nullptr, {16, 16});
  const TensorView y(nullptr, {2, 4, 4, 16});
  for (const PointwiseConv conv : {PointwiseConv{2, 0}, PointwiseConv{2, 1}}) {
    try {
      static_cast<void>(plan_pointwise_conv(nullptr, Pass::forward, conv, x, w, y, {}));
      ADD_FAILURE() << "accepted";
    } catch (const UnsupportedError& error) {
      EXPECT_THAT(error.what(), HasSubstr("pointwise_conv_forward: cuBLASLt takes stride 1 and offset 0 only"));
    }
  }
}

}  // namespace
}  // namespace dnas::kernels::cuda
