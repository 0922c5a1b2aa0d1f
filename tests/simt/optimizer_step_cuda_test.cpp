#include "ops/optimizer_step_cuda.hpp"

#include "reference/optimizer_step_ref.hpp"
#include "simt/device_array.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

// What kernels read and write lies on the heap, which a GPU reaches too (tests/cuda).
namespace dnas::kernels {
namespace {

using simt::DeviceArray;

/// Length, floats behind a 16-byte boundary, schedule.
class OptimizerStepCuda : public testing::TestWithParam<std::tuple<std::size_t, std::size_t, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
  [[nodiscard]] std::size_t count() const { return std::get<0>(GetParam()); }
  [[nodiscard]] DeviceArray array(std::uint64_t seed) const {
    return DeviceArray(count(), seed, std::get<1>(GetParam()));
  }
};

/// Every element within a few f32 roundings of the expected one, nothing around them touched.
void expect_close(DeviceArray& actual, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual.values()[i], expected[i], std::ldexp(4.0, -23) * (1.0 + std::abs(expected[i])))
        << "element " << i;
  }
  EXPECT_TRUE(actual.intact());
}

TEST_P(OptimizerStepCuda, SquaredNormMatchesLoop) {
  DeviceArray x = array(1);
  double expected = 0.0;
  for (const double value : x.to_double())
    expected += value * value;
  std::vector<std::byte> workspace(cuda::squared_norm_workspace(count()));
  const auto result = std::make_unique<double>(-1.0);
  cuda::squared_norm(x.values(), workspace, result.get(), nullptr);
  EXPECT_NEAR(*result, expected, 1e-12 * expected);  // f64 throughout; only the order differs
}

TEST_P(OptimizerStepCuda, AxpyMatchesLoop) {
  DeviceArray x = array(1);
  DeviceArray y = array(2);
  const auto a = std::make_unique<float>(-0.3F);
  std::vector<double> expected = y.to_double();
  for (std::size_t i = 0; i < count(); ++i)
    expected[i] += static_cast<double>(*a) * x.values()[i];
  cuda::axpy(a.get(), x.values(), y.values(), nullptr);
  expect_close(y, expected);
}

TEST_P(OptimizerStepCuda, SgdStepMatchesLoop) {
  DeviceArray grad = array(1);
  DeviceArray buffer = array(2);
  DeviceArray w = array(3);
  const SgdStep step{.learning_rate = 0.1F, .momentum = 0.9F, .weight_decay = 0.01F, .scale = 0.7F};
  const auto device_step = std::make_unique<SgdStep>(step);
  std::vector<double> expected_buffer = buffer.to_double();
  std::vector<double> expected_w = w.to_double();
  for (std::size_t i = 0; i < count(); ++i) {
    const double g = static_cast<double>(step.scale) * grad.values()[i] + step.weight_decay * expected_w[i];
    expected_buffer[i] = step.momentum * expected_buffer[i] + g;
    expected_w[i] -= step.learning_rate * expected_buffer[i];
  }
  cuda::sgd_step(device_step.get(), grad.values(), buffer.values(), w.values(), nullptr);
  expect_close(buffer, expected_buffer);
  expect_close(w, expected_w);
}

TEST_P(OptimizerStepCuda, ClippedSgdStepMatchesLoop) {
  for (const double max_norm : {0.5, 1e6}) {
    DeviceArray grad = array(1);
    DeviceArray buffer = array(2);
    DeviceArray w = array(3);
    const auto step = std::make_unique<SgdStep>(
        SgdStep{.learning_rate = 0.1F, .momentum = 0.9F, .weight_decay = 0.01F, .scale = NAN});
    double squared = 0.0;
    for (const double value : grad.to_double())
      squared += value * value;
    const double scale = std::min(1.0, max_norm / (std::sqrt(squared) + 1e-6));
    std::vector<double> expected_buffer = buffer.to_double();
    std::vector<double> expected_w = w.to_double();
    reference::sgd({0.1F, 0.9F, 0.01F, scale}, grad.to_double(), expected_buffer, expected_w);
    std::vector<std::byte> workspace(cuda::squared_norm_workspace(count()));
    const auto result = std::make_unique<double>(-1.0);
    for (int repetition = 0; repetition < 2; ++repetition) {  // leaves its workspace ready
      cuda::clip_gradient(grad.values(), max_norm, workspace, result.get(), &step->scale, nullptr);
      EXPECT_NEAR(*result, squared, 1e-12 * squared);
      EXPECT_EQ(step->scale, clip_scale(*result, max_norm));
    }
    cuda::sgd_step(step.get(), grad.values(), buffer.values(), w.values(), nullptr);
    expect_close(buffer, expected_buffer);
    expect_close(w, expected_w);
  }
}

TEST_P(OptimizerStepCuda, ClippingKeepsNaN) {
  DeviceArray grad = array(1);
  grad.values()[count() - 1] = NAN;
  std::vector<std::byte> workspace(cuda::squared_norm_workspace(count()));
  const auto result = std::make_unique<double>(-1.0);
  const auto scale = std::make_unique<float>(-1.0F);
  cuda::clip_gradient(grad.values(), 1.0, workspace, result.get(), scale.get(), nullptr);
  EXPECT_TRUE(std::isnan(*result) && std::isnan(*scale));
}

TEST_P(OptimizerStepCuda, AdamStepMatchesLoop) {
  for (const std::int64_t t : {1, 2, 1000}) {
    DeviceArray grad = array(1);
    DeviceArray m = array(2);
    DeviceArray v = array(3);
    DeviceArray w = array(4);
    for (float& value : v.values())
      value = std::abs(value);
    const AdamStep step{.learning_rate = 1e-2F, .beta1 = 0.5F, .weight_decay = 1e-3F, .t = t};
    const auto device_step = std::make_unique<AdamStep>(step);
    const double beta1 = step.beta1;
    const double beta2 = step.beta2;
    std::vector<double> expected_m = m.to_double();
    std::vector<double> expected_v = v.to_double();
    std::vector<double> expected_w = w.to_double();
    for (std::size_t i = 0; i < count(); ++i) {
      const double g = grad.values()[i] + step.weight_decay * expected_w[i];
      expected_m[i] = beta1 * expected_m[i] + (1.0 - beta1) * g;
      expected_v[i] = beta2 * expected_v[i] + (1.0 - beta2) * g * g;
      const double unbiased_m = expected_m[i] / (1.0 - std::pow(beta1, static_cast<double>(t)));
      const double unbiased_v = expected_v[i] / (1.0 - std::pow(beta2, static_cast<double>(t)));
      expected_w[i] -= step.learning_rate * unbiased_m / (std::sqrt(unbiased_v) + step.epsilon);
    }
    cuda::adam_step(device_step.get(), grad.values(), m.values(), v.values(), w.values(), nullptr);
    expect_close(m, expected_m);
    expect_close(v, expected_v);
    expect_close(w, expected_w);
  }
}

INSTANTIATE_TEST_SUITE_P(TinyLengths, OptimizerStepCuda,
                         testing::Combine(testing::Values(1, 3, 4, 5, 1024, 4097), testing::Values(0, 1),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)));

TEST(OptimizerStepCudaLong, ArraysAreWalkedWithAStride) {
  // More elements than all threads of the largest grid together.
  constexpr std::size_t count = 300'001;
  simt::set_schedule(simt::Schedule::ascending);
  DeviceArray x(count, 1, 1);
  DeviceArray y(count, 2, 1);
  const auto a = std::make_unique<float>(2.0F);
  std::vector<double> expected = y.to_double();
  double norm = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    expected[i] += static_cast<double>(*a) * x.values()[i];
    norm += static_cast<double>(x.values()[i]) * x.values()[i];
  }
  cuda::axpy(a.get(), x.values(), y.values(), nullptr);
  expect_close(y, expected);
  std::vector<std::byte> workspace(cuda::squared_norm_workspace(count));
  const auto result = std::make_unique<double>(-1.0);
  cuda::squared_norm(x.values(), workspace, result.get(), nullptr);
  EXPECT_NEAR(*result, norm, 1e-12 * norm);
}

TEST(OptimizerStepCudaEmpty, NormOfNothingIsZero) {
  simt::set_schedule(simt::Schedule::ascending);
  std::vector<std::byte> workspace(cuda::squared_norm_workspace(0));
  const auto result = std::make_unique<double>(-1.0);
  cuda::squared_norm({}, workspace, result.get(), nullptr);
  EXPECT_EQ(*result, 0.0);
}

}  // namespace
}  // namespace dnas::kernels
