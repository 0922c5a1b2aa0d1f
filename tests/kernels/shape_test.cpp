#include "dnas/kernels/shape.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <type_traits>

namespace dnas {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Shape, CountsElementsAndAxesFromBothEnds) {
  const Shape shape{2, 3, 5, 7};
  EXPECT_EQ(shape.rank(), 4);
  EXPECT_EQ(shape.elements(), 210);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[3], 7);
  EXPECT_EQ(shape[-1], 7);
  EXPECT_EQ(shape[-4], 2);
}

TEST(Shape, OfNoAxesHasOneElement) {
  EXPECT_EQ(Shape{}.rank(), 0);
  EXPECT_EQ(Shape{}.elements(), 1);
}

TEST(Shape, WithAZeroExtentIsEmpty) {
  EXPECT_EQ((Shape{4, 0, 2}).elements(), 0);
}

TEST(Shape, ComparesRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_NE((Shape{2}), (Shape{2, 0}));
}

TEST(Shape, PrintsItsExtents) {
  EXPECT_EQ((Shape{64, 32, 32, 16}).to_string(), "[64, 32, 32, 16]");
  EXPECT_EQ(Shape{}.to_string(), "[]");
}

TEST(Shape, RefusesTooManyAndNegativeExtents) {
  const auto too_many = [] { return Shape{1, 2, 3, 4, 5}; };
  const auto negative = [] { return Shape{3, -1}; };
  EXPECT_THAT(too_many, ThrowsMessage<ShapeError>(HasSubstr("rank 5 exceeds the limit of 4")));
  EXPECT_THAT(negative, ThrowsMessage<ShapeError>(HasSubstr("negative extent -1 on axis 1")));
}

TEST(TensorView, IsTriviallyCopyable) {
  EXPECT_TRUE(std::is_trivially_copyable_v<TensorView>);
}

TEST(TensorView, DenseTensorHasOnePixelPerRunOfChannels) {
  std::array<float, 24> data{};
  const TensorView t(data.data(), Shape{2, 3, 4});
  EXPECT_TRUE(t);
  EXPECT_TRUE(t.dense());
  EXPECT_EQ(t.channels(), 4);
  EXPECT_EQ(t.pixels(), 6);
  EXPECT_EQ(t.pixel_stride, 4);
}

TEST(TensorView, ChannelSliceIsNotDense) {
  std::array<float, 24> data{};
  const TensorView t(data.data() + 1, Shape{2, 3, 2}, 4);
  EXPECT_FALSE(t.dense());
  EXPECT_EQ(t.channels(), 2);
  EXPECT_EQ(t.pixels(), 6);
}

TEST(TensorView, ScalarsAndEmptyTensorsHaveDefinedCounts) {
  float value = 0.0F;
  const TensorView scalar(&value, Shape{});
  EXPECT_EQ(scalar.channels(), 1);
  EXPECT_EQ(scalar.pixels(), 1);
  EXPECT_TRUE(scalar.dense());
  EXPECT_EQ(TensorView(nullptr, Shape{3, 0}).pixels(), 0);
  EXPECT_FALSE(TensorView{});
}

}  // namespace
}  // namespace dnas
