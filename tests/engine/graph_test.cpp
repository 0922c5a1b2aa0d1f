#include "dnas/engine/graph.hpp"

#include "dnas/engine/nodes.hpp"
#include "dnas/engine/plan.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/graph_runs.hpp"
#include "support/throws.hpp"

#include <algorithm>

namespace dnas::engine {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr kernels::Pool pool{.kernel = 3, .stride = 1, .padding = 1};

class GraphTest : public ::testing::Test {
 protected:
  Graph& graph() { return *shared_; }
  [[nodiscard]] std::vector<std::string> planned_kinds() const {
    const Plan plan(shared_, Context::cpu(1));
    std::vector<std::string> kinds;
    for (const std::size_t index : plan.nodes())
      kinds.emplace_back(shared_->nodes()[index].op->kind());
    return kinds;
  }

  std::shared_ptr<Graph> shared_ = std::make_shared<Graph>(Mode::train, NetworkTables{});
  ValueId x_ = shared_->input("x", Shape{2, 4, 4, 3});
};

TEST_F(GraphTest, TheSameNodeTwiceIsOneNode) {
  const ValueId w = graph().input("w", Shape{4});
  const nodes::Term terms[] = {{x_, 0}, {x_, 2}};
  for (int i = 0; i < 2; ++i) {
    (void)nodes::max_pool(graph(), x_, pool);
    (void)nodes::avg_pool(graph(), x_, pool);
    (void)nodes::relu(graph(), x_);
    (void)nodes::depthwise_conv(graph(), x_, "d", {});
    (void)nodes::pointwise_conv(graph(), x_, "p", 3, {});
    (void)nodes::conv(graph(), x_, "c", 3, {});
    (void)nodes::weighted_sum(graph(), terms, w);
    (void)nodes::linear(graph(), nodes::global_avg_pool(graph(), x_), "l", 3);
    EXPECT_EQ(graph().nodes().size(), 9U);
  }
  EXPECT_EQ(nodes::max_pool(graph(), x_, pool), nodes::max_pool(graph(), x_, pool));
}

TEST_F(GraphTest, NodesThatDifferInAnythingAreTwo) {
  const ValueId w = graph().input("w", Shape{4});
  const ValueId v = graph().input("v", Shape{4});
  const auto sum = [&](std::int32_t a, std::int32_t b, ValueId weights) {
    const nodes::Term terms[] = {{x_, a}, {x_, b}};
    return nodes::weighted_sum(graph(), terms, weights);
  };
  const ValueId y = nodes::relu(graph(), x_);
  std::vector<ValueId> values{
      y,
      nodes::relu(graph(), y),
      nodes::max_pool(graph(), x_, pool),
      nodes::max_pool(graph(), y, pool),
      nodes::max_pool(graph(), x_, {.kernel = 3, .stride = 2, .padding = 1}),
      nodes::max_pool(graph(), x_, {.kernel = 2, .stride = 1, .padding = 1}),
      nodes::max_pool(graph(), x_, {.kernel = 3, .stride = 1, .padding = 0}),
      nodes::avg_pool(graph(), x_, pool),
      nodes::depthwise_conv(graph(), x_, "d", {}),
      nodes::depthwise_conv(graph(), x_, "e", {}),
      nodes::depthwise_conv(graph(), x_, "d", {.kernel = 3, .stride = 1, .dilation = 2, .padding = 2}),
      nodes::depthwise_conv(graph(), x_, "d", {.kernel = 3, .stride = 2}),
      nodes::pointwise_conv(graph(), x_, "p", 3, {}),
      nodes::pointwise_conv(graph(), x_, "p", 3, {.stride = 2, .offset = 0}),
      nodes::pointwise_conv(graph(), x_, "p", 3, {.stride = 2, .offset = 1}),
      nodes::pointwise_conv(graph(), x_, "q", 3, {.groups = 3}),
      sum(0, 1, w),
      sum(1, 0, w),
      sum(0, 1, v)};
  std::ranges::sort(values);
  EXPECT_EQ(std::ranges::adjacent_find(values), values.end());
}

TEST_F(GraphTest, BatchNormIsNeverMerged) {  // each moves the running statistics
  EXPECT_NE(nodes::batch_norm(graph(), x_, "b", true), nodes::batch_norm(graph(), x_, "b", true));
  EXPECT_EQ(graph().tables().parameters->specs().size(), 2U);
}

TEST_F(GraphTest, AGroupedPointwiseConvOwnsOneWeightOfItsGroupsFanIn) {
  const ValueId wide = nodes::pointwise_conv(graph(), x_, "wide", 12);
  const ValueId y = nodes::pointwise_conv(graph(), wide, "p", 8, {.groups = 4});
  const auto specs = graph().tables().parameters->specs();
  ASSERT_EQ(specs.size(), 2U);
  EXPECT_EQ(specs[1].shape, (Shape{8, 3}));
  EXPECT_EQ(specs[1].fan_in, 3);
  EXPECT_EQ(specs[1].layout, ParameterLayout::pointwise);
  EXPECT_EQ(graph().shape(y), (Shape{2, 4, 4, 8}));
  const Node& node = graph().nodes().back();
  const std::array types{graph().type(wide), graph().type(node.inputs[1])};
  EXPECT_EQ(node.op->multiply_adds(types), 2 * 4 * 4 * 8 * 3);
  EXPECT_THAT(message_of<ShapeError>([&] { (void)nodes::pointwise_conv(graph(), wide, "bad", 8, {.groups = 5}); }),
              HasSubstr("5 groups do not divide the channels of x [2, 4, 4, 12]"));
}

TEST_F(GraphTest, SumsAndConcatenationsAreNeverMerged) {
  const ValueId y = nodes::relu(graph(), x_);
  const std::array parts{x_, y};
  EXPECT_NE(nodes::add(graph(), parts), nodes::add(graph(), parts));
  EXPECT_NE(graph().concat(parts), graph().concat(parts));
}

TEST_F(GraphTest, PartsOfAConcatenationAreComputedInPlace) {
  const ValueId a = nodes::relu(graph(), x_);
  const ValueId b = nodes::max_pool(graph(), x_, pool);
  const std::array parts{a, b};
  const ValueId y = graph().concat(parts);
  EXPECT_EQ(graph().shape(y), (Shape{2, 4, 4, 6}));
  EXPECT_EQ(graph().value(a).shares, y);
  EXPECT_EQ(graph().value(a).channel_offset, 0);
  EXPECT_EQ(graph().value(b).shares, y);
  EXPECT_EQ(graph().value(b).channel_offset, 3);
  graph().output("y", y);
  EXPECT_THAT(planned_kinds(), ElementsAre("relu", "max_pool", "concat"));
}

TEST_F(GraphTest, PartsThatLieElsewhereAreCopied) {
  const ValueId a = nodes::relu(graph(), x_);
  const std::array parts{a, a, x_};
  graph().output("y", graph().concat(parts));
  EXPECT_THAT(planned_kinds(), ElementsAre("relu", "copy", "copy", "concat"));
  const std::array again{a};
  EXPECT_EQ(graph().concat(again), a);
}

TEST_F(GraphTest, DeadNodesAreNotPlanned) {
  (void)nodes::batch_norm(graph(), x_, "dead", true);
  const ValueId y = nodes::relu(graph(), x_);
  (void)nodes::max_pool(graph(), y, pool);
  graph().output("y", y);
  EXPECT_THAT(planned_kinds(), ElementsAre("relu"));
  EXPECT_EQ(Plan(shared_, Context::cpu(1)).arena_bytes(), 2U * 4 * 4 * 3 * sizeof(float));
}

TEST_F(GraphTest, AGraphWithoutOutputsHasNothingToRun) {
  (void)nodes::relu(graph(), x_);
  EXPECT_TRUE(planned_kinds().empty());
  EXPECT_EQ(Plan(shared_, Context::cpu(1)).arena_bytes(), 0U);
}

TEST_F(GraphTest, TermsOfASumMustBeAlike) {
  const ValueId narrow = graph().input("narrow", Shape{2, 4, 4, 2});
  const ValueId other = graph().input("labels", {Shape{2, 4, 4, 3}, DType::i32});
  const auto refusal = [&](ValueId term) {
    return message_of<ShapeError>([&] { (void)nodes::add(graph(), std::array{x_, term}); });
  };
  EXPECT_THAT(refusal(narrow), AllOf(HasSubstr("[2, 4, 4, 2]"), HasSubstr("[2, 4, 4, 3]")));
  EXPECT_THAT(refusal(other), AllOf(HasSubstr("i32"), HasSubstr("f32")));
  EXPECT_THAT(message_of<ShapeError>([&] { (void)nodes::add(graph(), {}); }), HasSubstr("no terms"));
  EXPECT_EQ(nodes::add(graph(), std::array{x_}), x_);

  const ValueId w = graph().input("w", Shape{2});
  const auto sum_refusal = [&](nodes::Term term) {
    const nodes::Term terms[] = {{x_, 0}, term};
    return message_of<ShapeError>([&] { (void)nodes::weighted_sum(graph(), terms, w); });
  };
  EXPECT_THAT(sum_refusal({narrow, 1}), HasSubstr("term 1 is [2, 4, 4, 2]"));
  EXPECT_THAT(sum_refusal({x_, 2}), HasSubstr("weight 2, but there are 2"));
  EXPECT_THAT(sum_refusal({x_, -1}), HasSubstr("weight -1"));
}

TEST_F(GraphTest, PartsOfAConcatenationMustFit) {
  const ValueId small = graph().input("small", Shape{2, 4, 3, 3});
  EXPECT_THAT(message_of<ShapeError>([&] {
                (void)graph().concat(std::array{x_, small});
              }),
              AllOf(HasSubstr("input 1 is [2, 4, 3, 3]"), HasSubstr("[2, 4, 4, *]")));
  EXPECT_THAT(message_of<ShapeError>([&] { (void)graph().concat({}); }), HasSubstr("no inputs"));
}

TEST_F(GraphTest, UnknownValuesAndNamesAreRefused) {
  EXPECT_THAT(message_of<Error>([&] { (void)graph().input("x", Shape{1}); }), HasSubstr("'x' is there already"));
  EXPECT_THAT(message_of<Error>([&] { graph().output("y", no_value); }), HasSubstr("output 'y' is value -1"));
  EXPECT_THAT(message_of<Error>([&] { graph().output("y", 99); }), HasSubstr("value 99"));
  EXPECT_THAT(message_of<Error>([&] { (void)nodes::relu(graph(), 99); }), AllOf(HasSubstr("relu"), HasSubstr("99")));
  EXPECT_THAT(message_of<Error>([&] { (void)graph().output("nothing"); }), HasSubstr("no output 'nothing'"));
  EXPECT_THAT(message_of<Error>([&] { (void)graph().input_slot("nothing"); }), HasSubstr("no input 'nothing'"));
}

}  // namespace
}  // namespace dnas::engine
