#include "core/planned_view.hpp"

#include "dnas/kernels/error.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>

namespace dnas::kernels {
namespace {

using test::message_of;
using testing::HasSubstr;

TEST(PlannedView, AlignmentIsThePowerOfTwoUpToSixteen) {
  alignas(64) static std::byte memory[64];
  EXPECT_EQ(alignment_of(nullptr), 16);
  EXPECT_EQ(alignment_of(memory), 16);
  EXPECT_EQ(alignment_of(memory + 48), 16);
  EXPECT_EQ(alignment_of(memory + 8), 8);
  EXPECT_EQ(alignment_of(memory + 12), 4);
  EXPECT_EQ(alignment_of(memory + 2), 2);
  EXPECT_EQ(alignment_of(memory + 7), 1);
}

TEST(PlannedView, TakesTheSameTensorElsewhereAndNoOther) {
  alignas(16) static float memory[64];
  const TensorView view(memory, {2, 3}, 4);
  const PlannedView planned(view);
  const auto check = [&](const TensorView& other) { planned.check("op: x", other); };
  EXPECT_NO_THROW(check(view));
  EXPECT_NO_THROW(check({memory + 16, {2, 3}, 4}));
  EXPECT_THAT(message_of<ShapeError>([&] {
                check({memory, {3, 2}, 4});
              }),
              HasSubstr("op: x is [3, 2], expected [2, 3]"));
  EXPECT_THAT(message_of<ShapeError>([&] {
                check({memory, {2, 3}});
              }),
              HasSubstr("op: x has pixel stride 3, planned with 4"));
  EXPECT_THAT(message_of<ShapeError>([&] {
                check({memory + 1, {2, 3}, 4});
              }),
              HasSubstr("op: x is aligned to 4 bytes, planned with 16"));
  EXPECT_THAT(message_of<ShapeError>([&] { check({nullptr, {2, 3}, 4}); }), HasSubstr("op: x has no data"));
  EXPECT_THAT(message_of<DtypeError>([&] {
                check({memory, {2, 3}, 4, DType::bf16});
              }),
              HasSubstr("op: x is bf16, expected f32"));
}

TEST(PlannedView, PlannedWithLittleAlignmentTakesMore) {
  alignas(16) static float memory[64];
  const PlannedView planned(TensorView(memory + 1, {2, 3}));
  EXPECT_NO_THROW(planned.check("op: x", TensorView(memory + 3, {2, 3})));
  EXPECT_NO_THROW(planned.check("op: x", TensorView(memory, {2, 3})));
}

}  // namespace
}  // namespace dnas::kernels
