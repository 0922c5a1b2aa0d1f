#include "ops/augment_cuda.hpp"

#include "reference/augment_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using simt::DeviceTensor;

class AugmentCuda : public testing::TestWithParam<std::tuple<int, DType, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
};

TEST_P(AugmentCuda, MatchesImagesMadeStepByStep) {
  const int channels = std::get<0>(GetParam());
  constexpr int height = 9;
  constexpr int width = 11;
  // Untouched; shifts beyond each edge; flips; cutouts inside, over corners, of odd length, over everything.
  const std::vector<Augmentation> augmentations{
      {},
      {.shift_y = 3, .shift_x = -4},
      {.shift_y = -2, .shift_x = 5, .flip = true},
      {.cutout_y = 4, .cutout_x = 5, .cutout_length = 4},
      {.shift_y = 1, .shift_x = 1, .cutout_y = 0, .cutout_x = 10, .cutout_length = 5, .flip = true},
      {.shift_x = 30},
      {.cutout_y = 4, .cutout_x = 4, .cutout_length = 40}};
  const auto images = static_cast<std::int64_t>(augmentations.size());
  const Shape shape{images, height, width, channels};
  std::vector<std::uint8_t> x(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<std::uint8_t>(i * 37 % 251);
  std::vector<float> mean;
  std::vector<float> std;
  for (int c = 0; c < channels; ++c) {
    mean.push_back(0.4F + 0.02F * static_cast<float>(c));
    std.push_back(0.2F + 0.03F * static_cast<float>(c));
  }
  const DeviceTensor y(shape, {std::get<1>(GetParam())});
  cuda::augment({x.data(), shape, DType::u8}, augmentations.data(), {mean.data(), Shape{channels}},
                {std.data(), Shape{channels}}, y.view(), nullptr);
  const auto floats = static_cast<std::size_t>(height * width * channels);
  for (std::size_t n = 0; n < augmentations.size(); ++n) {
    const auto expected = reference::augment(std::span<const std::uint8_t>(x).subspan(n * floats, floats), height,
                                             width, channels, augmentations[n], mean, std);
    for (std::size_t i = 0; i < floats; ++i) {
      // Rounded once, to bf16 after f32.
      ASSERT_NEAR(y[static_cast<std::int64_t>(n * floats + i)], expected[i],
                  1.01 * simt::rounding(std::get<1>(GetParam())) * std::abs(expected[i]))
          << "image " << n << ", element " << i;
    }
  }
  EXPECT_TRUE(y.untouched());
}

INSTANTIATE_TEST_SUITE_P(Channels, AugmentCuda,
                         testing::Combine(testing::Values(1, 3, 5), testing::Values(DType::f32, DType::bf16),
                                          testing::ValuesIn(simt::all_schedules)));
INSTANTIATE_TEST_SUITE_P(Tiny, AugmentCuda,
                         testing::Combine(testing::Values(3), testing::Values(DType::bf16),
                                          testing::Values(simt::Schedule::shuffled)));

}  // namespace
}  // namespace dnas::kernels
