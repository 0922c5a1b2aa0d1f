#include "dnas/kernels/augment.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/augment_ref.hpp"
#include "support/tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using test::max_relative_error;
using test::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Every kind of augmentation, alone and together, also with images and squares that leave the picture altogether.
const std::vector<Augmentation> augmentations{
    {},
    {.shift_y = 2},
    {.shift_y = -3, .shift_x = 1},
    {.shift_x = -4, .flip = true},
    {.flip = true},
    {.shift_y = 100, .shift_x = -100},
    {.cutout_y = 3, .cutout_x = 4, .cutout_length = 4},
    {.cutout_y = 0, .cutout_x = 0, .cutout_length = 5},
    {.cutout_y = 7, .cutout_x = 8, .cutout_length = 6, .flip = true},
    {.cutout_y = 50, .cutout_x = -50, .cutout_length = 8},
    {.cutout_y = 2, .cutout_x = 2, .cutout_length = 1},
    {.shift_y = 1, .shift_x = 2, .cutout_y = 4, .cutout_x = 2, .cutout_length = 64, .flip = true},
    {.shift_y = 4, .shift_x = 4, .cutout_y = 4, .cutout_x = 5, .cutout_length = 3, .flip = true},
};

struct Images {
  Images(int h, int w, int c) : height(h), width(w), channels(c) {
    const Philox random(1, Stream::synthetic_data);
    for (std::int64_t i = 0; i < shape().elements(); ++i) {
      bytes.push_back(static_cast<std::uint8_t>(random.below(static_cast<std::uint64_t>(i), 256)));
    }
    for (int i = 0; i < channels; ++i) {
      mean.push_back(0.45F + 0.01F * static_cast<float>(i));
      std.push_back(0.25F - 0.02F * static_cast<float>(i));
    }
  }
  [[nodiscard]] Shape shape() const {
    return {static_cast<std::int64_t>(augmentations.size()), height, width, channels};
  }
  [[nodiscard]] TensorView view() { return {bytes.data(), shape(), DType::u8}; }

  int height, width, channels;
  std::vector<std::uint8_t> bytes;
  std::vector<float> mean, std;
};

void PrintTo(const Images& images, std::ostream* os) {
  *os << images.shape().to_string();
}

class Augment : public ::testing::TestWithParam<Images> {
 protected:
  Images images = GetParam();
};

TEST_P(Augment, MatchesReference) {
  Tensor y(images.shape());
  augment(Context::cpu(2), images.view(), augmentations, images.mean, images.std, y.view());
  std::vector<double> expected;
  const std::size_t size = images.bytes.size() / augmentations.size();
  for (std::size_t n = 0; n < augmentations.size(); ++n) {
    const auto image = reference::augment(std::span(images.bytes).subspan(n * size, size), images.height, images.width,
                                          images.channels, augmentations[n], images.mean, images.std);
    expected.insert(expected.end(), image.begin(), image.end());
  }
  // One rounding of a value of up to a few standard deviations.
  EXPECT_LE(max_relative_error(y, expected), 2e-7);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(Augment, ThreadsDoNotChangeABit) {
  Tensor one(images.shape());
  augment(Context::cpu(1), images.view(), augmentations, images.mean, images.std, one.view());
  for (const int threads : {2, 3}) {
    Tensor many(images.shape());
    augment(Context::cpu(threads), images.view(), augmentations, images.mean, images.std, many.view());
    EXPECT_TRUE(many.same_bits(one));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Augment,
                         ::testing::Values(Images(8, 9, 3), Images(8, 8, 1), Images(32, 32, 3), Images(1, 1, 4),
                                           Images(5, 3, 6)));

TEST(AugmentOp, RefusesBadArguments) {
  const Context ctx = Context::cpu(1);
  Images images(4, 4, 3);
  Tensor y(images.shape());
  Tensor wrong(Shape{1, 4, 4, 3});
  const std::vector<float> two(2, 1.0F);
  const auto call = [&](const TensorView& x, std::span<const Augmentation> a, std::span<const float> mean,
                        std::span<const float> std, const TensorView& to) { augment(ctx, x, a, mean, std, to); };
  EXPECT_THAT([&] { call(y.view(), augmentations, images.mean, images.std, y.view()); },
              ThrowsMessage<DtypeError>(HasSubstr("augment: x is f32, expected u8")));
  EXPECT_THAT(
      [&] {
        call({images.bytes.data(), Shape{4, 3}, DType::u8}, augmentations, two, two, y.view());
      },
      ThrowsMessage<ShapeError>(HasSubstr("augment: x is [4, 3], expected a tensor of rank 4")));
  EXPECT_THAT([&] { call(images.view(), augmentations, images.mean, images.std, wrong.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("augment: y is [1, 4, 4, 3], expected [13, 4, 4, 3]")));
  EXPECT_THAT(
      [&] { call(images.view(), std::span(augmentations).first(3), images.mean, images.std, y.view()); },
      ThrowsMessage<ShapeError>(HasSubstr("augment: augmentations has 3 entries, expected 13 (one per image)")));
  EXPECT_THAT([&] { call(images.view(), augmentations, two, images.std, y.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("augment: mean has 2 entries, expected 3")));
  EXPECT_THAT([&] { call(images.view(), augmentations, images.mean, two, y.view()); },
              ThrowsMessage<ShapeError>(HasSubstr("augment: std has 2 entries, expected 3")));
}

}  // namespace
}  // namespace dnas::kernels
