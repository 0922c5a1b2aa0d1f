#include "ops/cross_entropy_cuda.hpp"

#include "reference/cross_entropy_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using simt::DeviceScratch;
using simt::DeviceTensor;

struct Batch {
  Batch(std::int64_t rows, std::int64_t classes)
      : logits(DeviceTensor::random({rows, classes}, 1)), p({rows, classes}) {
    for (std::int64_t i = 0; i < logits.size(); ++i)
      logits.set(i, 5.0 * logits[i]);
    for (std::int64_t r = 0; r < rows; ++r)
      labels.push_back(r * 7 % classes);
  }

  [[nodiscard]] TensorView labels_view() {
    return {labels.data(), {static_cast<std::int64_t>(labels.size())}, DType::i64};
  }
  double forward(float smoothing) {
    DeviceScratch scratch(cuda::cross_entropy_workspace(logits.shape()[0]), 1);
    cuda::cross_entropy_forward(logits.view(), labels_view(), smoothing, loss.view(), p.view(), scratch.span(),
                                nullptr);
    EXPECT_TRUE(scratch.counters_are_zero() && loss.untouched() && p.untouched());
    return loss[0];
  }

  DeviceTensor logits, p;
  DeviceTensor loss{Shape{1}};
  std::vector<std::int64_t> labels;
};

class CrossEntropyCuda : public testing::TestWithParam<std::tuple<Shape, float, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
  [[nodiscard]] static float smoothing() { return std::get<1>(GetParam()); }
  Batch batch{std::get<0>(GetParam())[0], std::get<0>(GetParam())[1]};
};

TEST_P(CrossEntropyCuda, LossAndGradientMatchLoops) {
  const double expected = reference::cross_entropy(batch.logits.doubles(), batch.labels, smoothing());
  EXPECT_NEAR(batch.forward(smoothing()), expected, 1e-7 * (1.0 + expected));  // f64, rounded once
  const auto rows = static_cast<std::size_t>(batch.logits.shape()[0]);
  const auto classes = static_cast<std::size_t>(batch.logits.shape()[1]);
  const auto p = reference::softmax(batch.logits.doubles(), classes);
  const DeviceTensor dlogits(batch.logits.shape());
  cuda::cross_entropy_backward(batch.p.view(), batch.labels_view(), smoothing(), dlogits.view(), nullptr);
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    EXPECT_NEAR(batch.p[at], p[i], 1e-7 * p[i]);
    const bool hit = static_cast<std::int64_t>(i % classes) == batch.labels[i / classes];
    const double target = (hit ? 1.0 - smoothing() : 0.0) + smoothing() / static_cast<double>(classes);
    // p and target are rounded to f32 near 1.
    EXPECT_NEAR(dlogits[at], (p[i] - target) / static_cast<double>(rows), 2e-7 / static_cast<double>(rows));
  }
  EXPECT_TRUE(dlogits.untouched());
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropyCuda,
                         testing::Combine(testing::Values(Shape{37, 10}, Shape{1, 1}, Shape{5, 100}, Shape{300, 3}),
                                          testing::Values(0.0F, 0.1F),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)));

TEST(CrossEntropyCudaRows, WithAWrongLabelMakeTheLossNaN) {
  simt::set_schedule(simt::Schedule::shuffled);
  for (const std::int64_t label : {-1, 10}) {
    Batch batch(20, 10);
    batch.labels[13] = label;
    EXPECT_TRUE(std::isnan(batch.forward(0.1F)));
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, CrossEntropyCuda,
                         testing::Combine(testing::Values(Shape{37, 4}), testing::Values(0.1F),
                                          testing::Values(simt::Schedule::shuffled)));

TEST(CrossEntropyCudaRows, OfImpossibleOtherClassesAreFinite) {
  simt::set_schedule(simt::Schedule::shuffled);
  Batch batch(1, 3);
  batch.labels[0] = 1;
  batch.logits.set(0, -std::numeric_limits<double>::infinity());
  batch.logits.set(1, 2.0);
  batch.logits.set(2, 2.0);
  EXPECT_NEAR(batch.forward(0.0F), std::log(2.0), 1e-7);
}

}  // namespace
}  // namespace dnas::kernels
