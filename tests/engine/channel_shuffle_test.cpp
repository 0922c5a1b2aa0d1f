#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "support/throws.hpp"

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::expect_right_gradients;
using test_graphs::network;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ChannelShuffle, GradientMatchesDifferences) {
  for (const std::int64_t groups : {2, 3}) {
    expect_right_gradients(network([&](Graph& g, ValueId x, ValueId) {
      const ValueId y = nodes::pointwise_conv(g, x, "y", 6, {});
      const ValueId terms[] = {nodes::channel_shuffle(g, y, groups), y};
      return nodes::add(g, terms);
    }));
  }
}

TEST(ChannelShuffle, OfAllOrOneGroupIsNoNode) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{1, 2, 2, 6});
  EXPECT_EQ(nodes::channel_shuffle(graph, x, 1), x);
  EXPECT_EQ(nodes::channel_shuffle(graph, x, 6), x);
  EXPECT_EQ(nodes::channel_shuffle(graph, x, 2), nodes::channel_shuffle(graph, x, 2));
  EXPECT_NE(nodes::channel_shuffle(graph, x, 2), nodes::channel_shuffle(graph, x, 3));
}

TEST(ChannelShuffle, RefusesGroupsThatDoNotDivideTheChannels) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{1, 2, 2, 6});
  const auto refusal = [&](ValueId of, std::int64_t groups) {
    return message_of<ShapeError>([&] { (void)nodes::channel_shuffle(graph, of, groups); });
  };
  EXPECT_THAT(refusal(x, 4), AllOf(HasSubstr("4 groups do not divide"), HasSubstr("[1, 2, 2, 6]")));
  EXPECT_THAT(refusal(x, 0), HasSubstr("0 groups"));
  EXPECT_THAT(refusal(graph.input("m", Shape{2, 6}), 2), HasSubstr("x is [2, 6]"));
}

}  // namespace
}  // namespace dnas::engine
