#include "ops/batch_norm_cuda.hpp"

#include "reference/batch_norm_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

namespace dnas::kernels {
namespace {

using simt::DeviceScratch;
using simt::DeviceTensor;
using simt::Layout;
using simt::max_relative_error;

// f32 parameters and one multiply-add per element; sums are f32 over at most 128 pixels of a thread, then f64. The
// largest value of a tensor has a few times its rms.
constexpr double tolerance = 3e-6;

struct Case {
  const char* name;
  Shape shape;
  Layout layout;
  bool affine = true;
  double mean = 0.0;  // added to all values
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Case cases[] = {
    {"Dense", {3, 9, 11, 16}, {}},
    {"NotAffine", {3, 9, 11, 8}, {}, false},
    {"Slice", {3, 9, 11, 16}, {DType::f32, 4, 8}},
    {"Misaligned", {2, 7, 5, 12}, {DType::f32, 0, 0, 1}},
    {"OddChannels", {3, 11, 13, 5}, {DType::f32, 1, 2}},
    {"TwoTilesOfChannels", {2, 7, 7, 72}, {}},
    {"ManyOddChannels", {2, 5, 7, 131}, {}},
    {"OneChannel", {2, 31, 33, 1}, {}, false},
    {"LargeMean", {2, 9, 9, 8}, {}, true, 1000.0},
    {"HalfDense", {3, 9, 11, 16}, {DType::bf16}},
    {"HalfSlice", {2, 9, 11, 20}, {DType::bf16, 4, 4}, false},
    {"HalfMisaligned", {2, 9, 11, 8}, {DType::bf16, 0, 0, 1}},
    {"HalfOddChannels", {3, 11, 13, 7}, {DType::bf16}},
};

/// Everything a training step of one layer touches. Channels have different means and deviations.
struct Layer {
  explicit Layer(const Case& c)
      : problem(c),
        channels{c.shape[-1]},
        x(DeviceTensor::random(c.shape, 1, c.layout)),
        dy(DeviceTensor::random(c.shape, 2, c.layout)),
        y(c.shape, c.layout),
        dx(c.shape, c.layout),
        gamma(c.affine ? DeviceTensor::random(channels, 3) : DeviceTensor::filled(channels, 1.0)),
        beta(c.affine ? DeviceTensor::random(channels, 4) : DeviceTensor::filled(channels, 0.0)) {
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto channel = static_cast<double>(i % channels[0] % 16);
      x.set(i, x[i] * (0.5 + 0.3 * channel) + channel - 3.0 + c.mean);
    }
  }

  void forward(const DeviceTensor& to) {
    cuda::batch_norm_forward(bn, x.view(), gamma_view(), beta_view(), running_mean.view(), running_var.view(),
                             to.view(), mean.view(), rstd.view(), scratch.span(), nullptr);
  }
  void backward(const DeviceTensor& to, Write write = Write::overwrite) {
    cuda::batch_norm_backward(x.view(), gamma_view(), mean.view(), rstd.view(), dy.view(), to.view(), write,
                              dgamma.view(), dbeta.view(), scratch.span(), nullptr);
  }
  [[nodiscard]] TensorView gamma_view() const { return problem.affine ? gamma.view() : TensorView(); }
  [[nodiscard]] TensorView beta_view() const { return problem.affine ? beta.view() : TensorView(); }
  [[nodiscard]] reference::BatchStatistics statistics() const {
    return reference::batch_statistics(x.doubles(), static_cast<std::size_t>(channels[0]));
  }
  [[nodiscard]] std::vector<double> expected_y() const {
    return reference::batch_norm(x.doubles(), statistics(), gamma.doubles(), beta.doubles(), bn.epsilon);
  }
  [[nodiscard]] reference::BatchNormGradients expected_gradients() const {
    return reference::batch_norm_gradients(x.doubles(), gamma.doubles(), bn.epsilon, dy.doubles());
  }

  Case problem;
  Shape channels;
  BatchNorm bn;
  DeviceTensor x, dy, y, dx, gamma, beta;
  DeviceTensor running_mean = DeviceTensor::filled(channels, 0.5);
  DeviceTensor running_var = DeviceTensor::filled(channels, 2.0);
  DeviceTensor mean{channels}, rstd{channels}, dgamma{channels}, dbeta{channels};
  DeviceScratch scratch{cuda::batch_norm_workspace(problem.shape), static_cast<std::size_t>((channels[0] + 63) / 64)};
};

class BatchNormCuda : public testing::TestWithParam<std::tuple<Case, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<1>(GetParam())); }
  [[nodiscard]] static const Case& problem() { return std::get<0>(GetParam()); }
  Layer layer{problem()};
};

TEST_P(BatchNormCuda, ForwardMatchesReference) {
  layer.forward(layer.y);
  EXPECT_LE(max_relative_error(layer.y, layer.expected_y()), tolerance);
  EXPECT_TRUE(layer.y.untouched());
  const auto batch = layer.statistics();
  EXPECT_LE(max_relative_error(layer.mean, batch.mean), 3e-6);
  const auto pixels = static_cast<double>(layer.x.pixels());
  for (std::int64_t c = 0; c < layer.rstd.size(); ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double rstd = 1.0 / std::sqrt(batch.variance[i] + 1e-5);
    EXPECT_NEAR(layer.rstd[c], rstd, 3e-6 * rstd) << "channel " << c;
    const double mean = 0.45 + 0.1 * batch.mean[i];
    const double var = 1.8 + 0.1 * batch.variance[i] * pixels / (pixels - 1.0);
    EXPECT_NEAR(layer.running_mean[c], mean, 1e-6 * (1.0 + std::abs(mean)));
    EXPECT_NEAR(layer.running_var[c], var, 3e-6 * var);
  }
  EXPECT_TRUE(layer.scratch.counters_are_zero());
}

TEST_P(BatchNormCuda, ForwardMayReplaceItsInput) {
  const auto expected = layer.expected_y();
  layer.forward(layer.x);
  EXPECT_LE(max_relative_error(layer.x, expected), tolerance);
  EXPECT_TRUE(layer.x.untouched());
}

TEST_P(BatchNormCuda, InferenceMatchesReference) {
  cuda::batch_norm_inference(layer.bn, layer.x.view(), layer.gamma_view(), layer.beta_view(), layer.running_mean.view(),
                             layer.running_var.view(), layer.y.view(), nullptr);
  const auto expected =
      reference::batch_norm(layer.x.doubles(), {layer.running_mean.doubles(), layer.running_var.doubles()},
                            layer.gamma.doubles(), layer.beta.doubles(), layer.bn.epsilon);
  EXPECT_LE(max_relative_error(layer.y, expected), tolerance);
  EXPECT_TRUE(layer.y.untouched());
}

TEST_P(BatchNormCuda, BackwardMatchesReference) {
  layer.forward(layer.y);
  layer.backward(layer.dx);
  const auto expected = layer.expected_gradients();
  EXPECT_LE(max_relative_error(layer.dx, expected.x), tolerance);
  // Of few, cancelling terms: relative to the rms of all channels.
  EXPECT_LE(max_relative_error(layer.dgamma, expected.gamma), 5e-6);
  EXPECT_LE(max_relative_error(layer.dbeta, expected.beta), 5e-6);
  EXPECT_TRUE(layer.dx.untouched() && layer.dgamma.untouched() && layer.dbeta.untouched());
  EXPECT_TRUE(layer.scratch.counters_are_zero());
}

TEST_P(BatchNormCuda, BackwardAccumulatesAndMayReplaceDy) {
  layer.forward(layer.y);
  auto expected = layer.expected_gradients().x;
  {
    const DeviceTensor dx = DeviceTensor::filled(problem().shape, 1.0, problem().layout);
    for (double& v : expected)
      v += 1.0;
    layer.backward(dx, Write::accumulate);
    EXPECT_LE(max_relative_error(dx, expected), tolerance);
  }
  for (double& v : expected)
    v -= 1.0;
  layer.backward(layer.dy);
  EXPECT_LE(max_relative_error(layer.dy, expected), tolerance);
}

TEST_P(BatchNormCuda, BackwardComputesWhatIsWanted) {
  layer.forward(layer.y);
  layer.backward(layer.dx);
  const DeviceTensor dx(problem().shape, problem().layout);
  cuda::batch_norm_backward(layer.x.view(), layer.gamma_view(), layer.mean.view(), layer.rstd.view(), layer.dy.view(),
                            dx.view(), Write::overwrite, {}, {}, layer.scratch.span(), nullptr);
  EXPECT_TRUE(dx.same_bits(layer.dx));
  const DeviceTensor dgamma(layer.channels);
  cuda::batch_norm_backward(layer.x.view(), layer.gamma_view(), layer.mean.view(), layer.rstd.view(), layer.dy.view(),
                            {}, Write::overwrite, dgamma.view(), {}, layer.scratch.span(), nullptr);
  EXPECT_TRUE(dgamma.same_bits(layer.dgamma));
}

std::string name_of(const testing::TestParamInfo<std::tuple<Case, simt::Schedule>>& test) {
  return std::string(std::get<0>(test.param).name) + "Schedule" +
         std::to_string(static_cast<int>(std::get<1>(test.param)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormCuda,
                         testing::Combine(testing::ValuesIn(cases),
                                          testing::Values(simt::Schedule::shuffled, simt::Schedule::by_warp)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Tiny, BatchNormCuda,
                         testing::Combine(testing::Values(Case{"Tiny", {1, 24, 22, 64}, {}}),
                                          testing::Values(simt::Schedule::shuffled)),
                         name_of);

TEST(BatchNormCudaSchedules, GiveTheSameBits) {
  for (const Case& c : cases) {
    std::vector<Layer> results;
    for (const simt::Schedule schedule : simt::all_schedules) {
      simt::set_schedule(schedule);
      Layer& layer = results.emplace_back(c);
      layer.forward(layer.y);
      layer.backward(layer.dx);
      EXPECT_TRUE(layer.y.same_bits(results.front().y)) << c;
      EXPECT_TRUE(layer.dx.same_bits(results.front().dx)) << c;
      EXPECT_TRUE(layer.dgamma.same_bits(results.front().dgamma)) << c;
    }
  }
}

}  // namespace
}  // namespace dnas::kernels
