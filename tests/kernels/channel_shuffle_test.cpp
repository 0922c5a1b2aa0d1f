#include "dnas/kernels/channel_shuffle.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/channel_shuffle_ref.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <array>
#include <ostream>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::message_of;
using test::Tensor;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

struct Case {
  Shape shape;
  std::int64_t groups;
  Gap x_gap = {};
  Gap y_gap = {};
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << c.shape.to_string() << " by " << c.groups << " groups, gaps " << c.x_gap.before << '+' << c.x_gap.after << ' '
      << c.y_gap.before << '+' << c.y_gap.after;
}

class ChannelShuffleCase : public ::testing::TestWithParam<Case> {
 protected:
  const Case& c = GetParam();
  Context ctx = Context::cpu(2);
  Tensor x = Tensor::random(c.shape, 1, c.x_gap);
  std::vector<double> expected = reference::channel_shuffle(static_cast<std::size_t>(c.shape[-1]),
                                                            static_cast<std::size_t>(c.groups), x.doubles());
};

TEST_P(ChannelShuffleCase, MovesChannelsWithoutRounding) {
  const Tensor y(c.shape, c.y_gap);
  channel_shuffle(ctx, c.groups, x.view(), y.view(), Write::overwrite);
  EXPECT_EQ(max_relative_error(y, expected), 0.0);
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(ChannelShuffleCase, AccumulatesOnRequest) {
  Tensor y = Tensor::filled(c.shape, 0.5F, c.y_gap);
  channel_shuffle(ctx, c.groups, x.view(), y.view(), Write::accumulate);
  for (double& value : expected)
    value += 0.5;
  EXPECT_LE(max_relative_error(y, expected), 1e-7);  // one rounded addition
  EXPECT_TRUE(y.gaps_untouched());
}

TEST_P(ChannelShuffleCase, TheOtherNumberOfGroupsIsTheInverse) {
  const Tensor y(c.shape, c.y_gap);
  Tensor back(c.shape, c.x_gap);
  channel_shuffle(ctx, c.groups, x.view(), y.view(), Write::overwrite);
  channel_shuffle(ctx, c.shape[-1] / c.groups, y.view(), back.view(), Write::overwrite);
  EXPECT_TRUE(back.same_bits(x));
}

TEST_P(ChannelShuffleCase, ThreadsDoNotChangeABit) {
  const auto result = [&](int threads) {
    Tensor y = Tensor::filled(c.shape, 0.25F, c.y_gap);
    channel_shuffle(Context::cpu(threads), c.groups, x.view(), y.view(), Write::accumulate);
    return y;
  };
  const Tensor one = result(1);
  EXPECT_TRUE(result(2).same_bits(one) && result(3).same_bits(one));
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChannelShuffleCase,
                         ::testing::Values(Case{{1, 1, 1, 1}, 1}, Case{{2, 3, 3, 5}, 5}, Case{{2, 3, 3, 7}, 1},
                                           Case{{3, 5, 7, 6}, 2}, Case{{2, 5, 3, 15}, 3, {2, 1}, {0, 4}},
                                           Case{{8, 32, 32, 16}, 4}, Case{{2, 19, 17, 36}, 4, {4, 8}, {1, 0}},
                                           Case{{1, 2, 2, 20000}, 8}, Case{{0, 4, 4, 8}, 2}));

TEST(ChannelShuffle, TakesTheGroupsInTurn) {
  const Tensor x = Tensor::of({1, 1, 1, 6}, std::array{0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F});
  const auto shuffled = [&](std::int64_t groups) {
    const Tensor y(x.shape());
    channel_shuffle(Context::cpu(1), groups, x.view(), y.view(), Write::overwrite);
    return y.doubles();
  };
  EXPECT_THAT(shuffled(2), ElementsAreArray({0, 3, 1, 4, 2, 5}));
  EXPECT_THAT(shuffled(3), ElementsAreArray({0, 2, 4, 1, 3, 5}));
}

TEST(ChannelShuffle, RefusesBadArguments) {
  const Tensor x({1, 2, 2, 6});
  const Tensor other({1, 2, 2, 5});
  const Tensor matrix({2, 6});
  const auto refusal = [](std::int64_t groups, const TensorView& from, const TensorView& to) {
    return message_of<ShapeError>([&] { channel_shuffle(Context::cpu(1), groups, from, to, Write::overwrite); });
  };
  EXPECT_THAT(refusal(4, x.view(), x.view()), HasSubstr("x has 6 channels, expected a multiple of the 4 groups"));
  EXPECT_THAT(refusal(0, x.view(), x.view()), HasSubstr("the 0 groups"));
  EXPECT_THAT(refusal(-2, x.view(), x.view()), HasSubstr("the -2 groups"));
  EXPECT_THAT(refusal(2, x.view(), other.view()), HasSubstr("channel_shuffle: y is [1, 2, 2, 5]"));
  EXPECT_THAT(refusal(2, matrix.view(), matrix.view()), HasSubstr("channel_shuffle: x is [2, 6]"));
  EXPECT_THAT(message_of<DtypeError>([&] {
                channel_shuffle(Context::cpu(1), 2, {x.view().data, x.shape(), DType::i32}, x.view(), Write::overwrite);
              }),
              HasSubstr("channel_shuffle: x is i32"));
}

}  // namespace
}  // namespace dnas::kernels
