#include "dnas/kernels/batch_norm.hpp"

#include "dnas/kernels/error.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <span>

namespace dnas::kernels {
namespace {

using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Good arguments of all functions, to be spoilt one at a time.
class BatchNormArguments : public ::testing::Test {
 protected:
  struct Arguments {
    TensorView x, gamma, beta, running_mean, running_var, y, mean, rstd, dy, dx, dgamma, dbeta;
  };
  using Argument = TensorView Arguments::*;

  [[nodiscard]] Arguments good() const {
    return {.x = image.view(),
            .gamma = channel.view(),
            .beta = channel.view(),
            .running_mean = channel.view(),
            .running_var = channel.view(),
            .y = image.view(),
            .mean = channel.view(),
            .rstd = channel.view(),
            .dy = image.view(),
            .dx = image.view(),
            .dgamma = channel.view(),
            .dbeta = channel.view()};
  }
  [[nodiscard]] Arguments spoilt(Argument argument, const TensorView& bad) const {
    Arguments a = good();
    a.*argument = bad;
    return a;
  }
  void forward(const Arguments& a) {
    batch_norm_forward(ctx, {}, a.x, a.gamma, a.beta, a.running_mean, a.running_var, a.y, a.mean, a.rstd, workspace);
  }
  void inference(const Arguments& a) {
    batch_norm_inference(ctx, {}, a.x, a.gamma, a.beta, a.running_mean, a.running_var, a.y);
  }
  void backward(const Arguments& a) {
    batch_norm_backward(ctx, a.x, a.gamma, a.mean, a.rstd, a.dy, a.dx, Write::overwrite, a.dgamma, a.dbeta, workspace);
  }
  void inference_backward(const Arguments& a) {
    batch_norm_inference_backward(ctx, {}, a.x, a.gamma, a.running_mean, a.running_var, a.dy, a.dx, Write::overwrite,
                                  a.dgamma, a.dbeta, workspace);
  }
  void expect_forward_error(Argument argument, const TensorView& bad, const char* message) {
    EXPECT_THAT([&] { forward(spoilt(argument, bad)); }, ThrowsMessage<ShapeError>(HasSubstr(message)));
  }
  void expect_inference_error(Argument argument, const TensorView& bad, const char* message) {
    EXPECT_THAT([&] { inference(spoilt(argument, bad)); }, ThrowsMessage<ShapeError>(HasSubstr(message)));
  }
  void expect_inference_backward_error(Argument argument, const TensorView& bad, const char* message) {
    EXPECT_THAT([&] { inference_backward(spoilt(argument, bad)); }, ThrowsMessage<ShapeError>(HasSubstr(message)));
  }
  void expect_backward_error(Argument argument, const TensorView& bad, const char* message) {
    EXPECT_THAT([&] { backward(spoilt(argument, bad)); }, ThrowsMessage<ShapeError>(HasSubstr(message)));
  }

  Context ctx = Context::cpu(1);
  Tensor image = Tensor::random(Shape{2, 3, 3, 4}, 1);
  Tensor channel = Tensor::random(Shape{4}, 2);
  Tensor vector{Shape{3}};
  Tensor matrix{Shape{18, 4}};
  Buffer buffer{batch_norm_workspace(image.shape())};
  std::span<std::byte> workspace{buffer.data(), buffer.bytes()};
};

TEST_F(BatchNormArguments, GoodOnesAreTaken) {
  EXPECT_NO_THROW(forward(good()));
  EXPECT_NO_THROW(inference(good()));
  EXPECT_NO_THROW(backward(good()));
  EXPECT_NO_THROW(inference_backward(good()));
}

TEST_F(BatchNormArguments, ForwardNamesTheBadOne) {
  expect_forward_error(&Arguments::x, matrix.view(), "batch_norm_forward: x is [18, 4], expected a tensor of rank 4");
  expect_forward_error(&Arguments::y, matrix.view(), "batch_norm_forward: y is [18, 4], expected [2, 3, 3, 4]");
  expect_forward_error(&Arguments::x, TensorView(image.view().data, Shape{0, 3, 3, 4}), "at least one element");
  expect_forward_error(&Arguments::gamma, vector.view(), "batch_norm_forward: gamma is [3], expected [4]");
  expect_forward_error(&Arguments::beta, vector.view(), "batch_norm_forward: beta");
  expect_forward_error(&Arguments::beta, {}, "batch_norm_forward: beta is a null view but gamma is not");
  expect_forward_error(&Arguments::running_mean, {}, "running_mean is a null view but running_var is not");
  expect_forward_error(&Arguments::running_mean, vector.view(), "batch_norm_forward: running_mean");
  expect_forward_error(&Arguments::running_var, vector.view(), "batch_norm_forward: running_var");
  expect_forward_error(&Arguments::mean, vector.view(), "batch_norm_forward: mean");
  expect_forward_error(&Arguments::rstd, vector.view(), "batch_norm_forward: rstd");
}

TEST_F(BatchNormArguments, InferenceNamesTheBadOne) {
  expect_inference_error(&Arguments::running_mean, {}, "batch_norm_inference: running_mean");
  expect_inference_error(&Arguments::running_var, vector.view(), "batch_norm_inference: running_var");
  expect_inference_error(&Arguments::y, matrix.view(), "batch_norm_inference: y");
}

TEST_F(BatchNormArguments, BackwardNamesTheBadOne) {
  expect_backward_error(&Arguments::x, matrix.view(), "batch_norm_backward: x");
  expect_backward_error(&Arguments::gamma, vector.view(), "batch_norm_backward: gamma");
  expect_backward_error(&Arguments::mean, vector.view(), "batch_norm_backward: mean");
  expect_backward_error(&Arguments::rstd, {}, "batch_norm_backward: rstd");
  expect_backward_error(&Arguments::dy, matrix.view(), "batch_norm_backward: dy");
  expect_backward_error(&Arguments::dx, matrix.view(), "batch_norm_backward: dx");
  expect_backward_error(&Arguments::dgamma, vector.view(), "batch_norm_backward: dgamma");
  expect_backward_error(&Arguments::dbeta, vector.view(), "batch_norm_backward: dbeta");
}

TEST_F(BatchNormArguments, InferenceBackwardNamesTheBadOne) {
  expect_inference_backward_error(&Arguments::dy, matrix.view(), "batch_norm_inference_backward: dy is [18, 4]");
  expect_inference_backward_error(&Arguments::x, matrix.view(), "batch_norm_inference_backward: x");
  expect_inference_backward_error(&Arguments::x, {}, "batch_norm_inference_backward: x has no data");
  expect_inference_backward_error(&Arguments::gamma, vector.view(), "batch_norm_inference_backward: gamma");
  expect_inference_backward_error(&Arguments::running_mean, {}, "batch_norm_inference_backward: running_mean");
  expect_inference_backward_error(&Arguments::running_var, vector.view(), "batch_norm_inference_backward: running_var");
  expect_inference_backward_error(&Arguments::dx, matrix.view(), "batch_norm_inference_backward: dx");
  expect_inference_backward_error(&Arguments::dgamma, vector.view(), "batch_norm_inference_backward: dgamma");
  expect_inference_backward_error(&Arguments::dbeta, vector.view(), "batch_norm_inference_backward: dbeta");
}

TEST_F(BatchNormArguments, WorkspaceMustSuffice) {
  workspace = workspace.first(workspace.size() - 1);
  EXPECT_THAT([&] { forward(good()); }, ThrowsMessage<ShapeError>(HasSubstr("batch_norm_forward: workspace has")));
  EXPECT_THAT([&] { backward(good()); }, ThrowsMessage<ShapeError>(HasSubstr("batch_norm_backward: workspace has")));
  EXPECT_THAT([&] { inference_backward(good()); },
              ThrowsMessage<ShapeError>(HasSubstr("batch_norm_inference_backward: workspace has")));
}

TEST_F(BatchNormArguments, OnlyF32IsTaken) {
  const TensorView integers(image.view().data, image.shape(), DType::i32);
  EXPECT_THAT([&] { inference(spoilt(&Arguments::x, integers)); },
              ThrowsMessage<DtypeError>(HasSubstr("batch_norm_inference: x is i32, expected f32")));
}

}  // namespace
}  // namespace dnas::kernels
