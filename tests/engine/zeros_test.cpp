#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <array>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::differentiate;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using test_graphs::RandomGraph;
using ::testing::Each;
using ::testing::HasSubstr;

TEST(Zeros, AreZeroAlsoInsideAConcatenation) {
  const auto graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
  const ValueId x = graph->input("x", Shape{2, 3, 3, 3});
  const ValueId y = nodes::relu(*graph, x);
  graph->output("alone", nodes::zeros(*graph, Shape{2, 5}));
  graph->output("y", y);
  graph->output("whole", graph->concat(std::array{y, nodes::zeros(*graph, Shape{2, 3, 3, 2}), x}));
  const InputValues inputs(*graph, 1, classes);
  PlannedRun run(graph, inputs, 2);
  run.run();
  EXPECT_THAT(copy_of(run.output("alone")), Each(0.0F));
  const std::vector<float> whole = copy_of(run.output("whole"));
  const std::vector<float> before = copy_of(run.output("y"));
  const std::vector<float> behind = copy_of(inputs["x"]);
  for (std::size_t p = 0; p < 18; ++p) {
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(whole[p * 8 + c], before[p * 3 + c]);
      EXPECT_EQ(whole[p * 8 + 5 + c], behind[p * 3 + c]);
    }
    EXPECT_EQ(whole[p * 8 + 3], 0.0F);
    EXPECT_EQ(whole[p * 8 + 4], 0.0F);
  }
}

TEST(Zeros, OfOneShapeAreOneNode) {
  Graph graph(Mode::train, {});
  EXPECT_EQ(nodes::zeros(graph, Shape{2, 3}), nodes::zeros(graph, Shape{2, 3}));
  EXPECT_NE(nodes::zeros(graph, Shape{2, 3}), nodes::zeros(graph, Shape{3, 2}));
}

TEST(Zeros, AsATermHaveAWeightWithGradientZero) {
  const RandomGraph net = network([](Graph& g, ValueId x, ValueId mix) {
    const nodes::Term terms[] = {{nodes::zeros(g, g.shape(x)), 0}, {x, 1}};
    return nodes::weighted_sum(g, terms, mix);
  });
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();
  const std::vector<float> dmix = copy_of(run.output("dmix"));
  EXPECT_EQ(dmix[0], 0.0F);
  EXPECT_NE(dmix[1], 0.0F);
}

TEST(Zeros, AreF32) {
  Graph graph(Mode::train, {});
  EXPECT_THAT(message_of<DtypeError>([&] {
                (void)nodes::zeros(graph, {Shape{2}, DType::i64});
              }),
              HasSubstr("zeros: the type is i64, expected f32"));
  EXPECT_THAT(message_of<ShapeError>([&] { (void)nodes::zeros(graph, {}); }), HasSubstr("absent value"));
}

/// How often the node that computes the zeros runs.
std::ptrdiff_t zeros_in_plan(bool recompute) {
  const RandomGraph net = network([](Graph& g, ValueId x, ValueId mix) {
    const nodes::Term terms[] = {{nodes::zeros(g, g.shape(x)), 0}, {x, 1}};
    return nodes::weighted_sum(g, terms, mix);
  });
  const std::vector<Node> forward(net.graph->nodes().begin(), net.graph->nodes().end());
  GradientRequest request{.parameters = false, .inputs = {net.mix}, .recompute = {}};
  for (std::size_t i = 0; recompute && i < forward.size(); ++i) {
    if (forward[i].op->kind() == "zeros") request.recompute.insert(i);
  }
  net.graph->output("dmix", append_backward(*net.graph, net.loss, request)[0]);
  const Plan plan(net.graph, Context::cpu(1));
  return std::ranges::count_if(plan.nodes(),
                               [&](std::size_t i) { return net.graph->nodes()[i].op->kind() == "zeros"; });
}

TEST(Zeros, AreMadeTwiceRatherThanKeptOnRequest) {  // not merged with the first ones
  EXPECT_EQ(zeros_in_plan(false), 1);
  EXPECT_EQ(zeros_in_plan(true), 2);
}

}  // namespace
}  // namespace dnas::engine
