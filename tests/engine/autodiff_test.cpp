#include "dnas/engine/autodiff.hpp"

#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "engine/graph_runs.hpp"
#include "engine/random_graph.hpp"
#include "support/throws.hpp"

#include <cmath>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::differentiate;
using test_graphs::expect_right_gradients;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using test_graphs::random_graph;
using test_graphs::RandomGraph;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Autodiff, GradientOfReluMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) { return nodes::relu(g, x); }));
}

TEST(Autodiff, GradientOfRelu6MatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    return nodes::relu6(g, nodes::add(g, std::vector<ValueId>(12, x)));  // within 12, half of the positive above 6
  }));
}

TEST(Autodiff, GradientOfBiasMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId mix) {
    const ValueId y = nodes::bias(g, nodes::pointwise_conv(g, x, "p", 3, {}), "a");
    const nodes::Term terms[] = {{nodes::relu(g, y), 0}, {y, 1}, {nodes::bias(g, x, "a"), 2}};  // the bias twice
    return nodes::weighted_sum(g, terms, mix);
  }));
}

TEST(Autodiff, GradientOfDepthwiseConvMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    return nodes::depthwise_conv(g, x, "a", {.kernel = 3, .stride = 2, .dilation = 2, .padding = 2});
  }));
}

TEST(Autodiff, GradientOfPointwiseConvMatchesDifferences) {
  expect_right_gradients(network(
      [](Graph& g, ValueId x, ValueId) { return nodes::pointwise_conv(g, x, "a", 4, {.stride = 2, .offset = 1}); }));
}

TEST(Autodiff, GradientOfAGroupedPointwiseConvMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const ValueId y = nodes::pointwise_conv(g, x, "a", 6, {.groups = 3});
    return nodes::pointwise_conv(g, y, "b", 4, {.stride = 2, .offset = 1, .groups = 2});
  }));
}

TEST(Autodiff, GradientOfConvMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    return nodes::conv(g, x, "a", 4, {.kernel_h = 1, .stride_w = 2, .padding_h = 0});
  }));
}

TEST(Autodiff, GradientOfBatchNormMatchesDifferences) {
  for (const bool affine : {false, true}) {
    expect_right_gradients(network([&](Graph& g, ValueId x, ValueId) { return nodes::batch_norm(g, x, "a", affine); }));
  }
}

TEST(Autodiff, GradientOfPoolsMatchesDifferences) {
  expect_right_gradients(network(
      [](Graph& g, ValueId x, ValueId) { return nodes::max_pool(g, x, {.kernel = 3, .stride = 2, .padding = 1}); }));
  expect_right_gradients(network(
      [](Graph& g, ValueId x, ValueId) { return nodes::avg_pool(g, x, {.kernel = 3, .stride = 1, .padding = 1}); }));
}

TEST(Autodiff, GradientOfAWeightedSumWithRepeatedTermsMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId mix) {
    const ValueId y = nodes::avg_pool(g, x, {});
    const nodes::Term terms[] = {{x, 0}, {y, 1}, {x, 4}, {x, 0}, {y, 5}};
    const ValueId a = nodes::weighted_sum(g, terms, mix);
    const nodes::Term more[] = {{a, 1}, {x, 2}};
    return nodes::weighted_sum(g, more, mix);
  }));
}

TEST(Autodiff, WeightsThatNoTermTakesHaveGradientZero) {
  const RandomGraph net = network([](Graph& g, ValueId x, ValueId mix) {
    const nodes::Term terms[] = {{x, 4}, {nodes::relu(g, x), 1}};
    return nodes::weighted_sum(g, terms, mix);
  });
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();
  const std::vector<float> dmix = copy_of(run.output("dmix"));
  for (const std::size_t unused : {0U, 2U, 3U, 5U})
    EXPECT_EQ(dmix[unused], 0.0F);
  EXPECT_NE(dmix[1], 0.0F);
  EXPECT_NE(dmix[4], 0.0F);
}

TEST(Autodiff, GradientOfAddMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const ValueId y = nodes::relu(g, x);
    const ValueId terms[] = {x, y, x, nodes::avg_pool(g, y, {})};
    return nodes::add(g, terms);
  }));
}

TEST(Autodiff, GradientOfConcatMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const ValueId y = nodes::relu(g, x);
    const ValueId z = nodes::avg_pool(g, y, {});
    const ValueId inner[] = {y, x, y, z};
    const ValueId nested = g.concat(inner);
    const ValueId sum[] = {y, z};
    const ValueId outer[] = {nested, z, nodes::add(g, sum)};
    return g.concat(outer);
  }));
}

TEST(Autodiff, AllReadersOfAValueContribute) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId mix) {
    const ValueId y = nodes::pointwise_conv(g, x, "y", 3, {});
    const nodes::Term terms[] = {{nodes::relu(g, y), 0},
                                 {nodes::depthwise_conv(g, y, "d", {}), 1},
                                 {nodes::pointwise_conv(g, y, "p", 3, {}), 2},
                                 {nodes::conv(g, y, "c", 3, {}), 3},
                                 {nodes::batch_norm(g, y, "b", true), 4},
                                 {nodes::max_pool(g, y, {}), 5},
                                 {nodes::avg_pool(g, y, {}), 0},
                                 {y, 1}};
    const ValueId parts[] = {nodes::weighted_sum(g, terms, mix), y};
    return g.concat(parts);
  }));
}

TEST(Autodiff, ContributionsToAParameterUsedTwiceAddUp) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    ValueId y = x;
    for (int i = 0; i < 2; ++i) {
      y = nodes::depthwise_conv(g, y, "d", {});
      y = nodes::batch_norm(g, nodes::pointwise_conv(g, y, "p", 3, {}), "b", true);
      y = nodes::conv(g, y, "c", 3, {});
    }
    return y;
  }));
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {  // no gradient of the first one's x
    const ValueId terms[] = {nodes::batch_norm(g, x, "b", true), nodes::batch_norm(g, nodes::relu(g, x), "b", true)};
    return nodes::add(g, terms);
  }));
}

TEST(Autodiff, ContributionsToALinearLayerUsedTwiceAddUp) {
  RandomGraph net;
  net.graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
  Graph& g = *net.graph;
  net.x = g.input("x", Shape{2, classes});
  net.mix = g.input("mix", Shape{2});  // without influence
  const ValueId once = nodes::linear(g, net.x, "head", classes);
  const ValueId twice = nodes::linear(g, nodes::linear(g, once, "head", classes), "head", classes);
  net.loss = nodes::cross_entropy(g, twice, g.input("labels", {Shape{2}, DType::i64}), 0.0F);
  g.output("loss", net.loss);
  expect_right_gradients(net);
}

class RandomGradients : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Autodiff, RandomGradients, ::testing::Range<std::uint64_t>(0, 12));

/// Without the gradient check of every node by itself this would say little: deep networks have many kinks.
TEST_P(RandomGradients, MatchDifferencesInDirectionOfTheGradient) {
  const RandomGraph net = random_graph(GetParam(), Mode::train, 8);
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();
  const std::vector<float> gradient(run.gradients().flat().begin(), run.gradients().flat().end());
  const auto in_use = [&](std::size_t i) { return !std::isnan(gradient[i]); };  // not a gap
  double squares = 0.0;
  for (std::size_t i = 0; i < gradient.size(); ++i)
    squares += in_use(i) ? static_cast<double>(gradient[i]) * gradient[i] : 0.0;
  const std::span<float> weights = run.weights().flat();
  const std::vector<float> before(weights.begin(), weights.end());
  const auto loss_at = [&](double distance) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (in_use(i)) weights[i] = before[i] + static_cast<float>(distance / std::sqrt(squares) * gradient[i]);
    }
    return static_cast<double>(run.loss());
  };
  constexpr double step = 1.0 / 1024;
  const double slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
  EXPECT_NEAR(slope / std::sqrt(squares), 1.0, 0.03);
}

std::vector<std::string> planned_kinds(const PlannedRun& run) {
  std::vector<std::string> kinds;
  for (const std::size_t index : run.plan().nodes())
    kinds.emplace_back(run.plan().graph().nodes()[index].op->kind());
  return kinds;
}

ValueId everything(Graph& g, ValueId x, ValueId mix) {
  const ValueId p = nodes::pointwise_conv(g, x, "p", 3, {});
  const nodes::Term terms[] = {{nodes::depthwise_conv(g, p, "d", {}), 0},
                               {nodes::conv(g, p, "c", 3, {}), 1},
                               {nodes::batch_norm(g, p, "b", true), 2}};
  return nodes::weighted_sum(g, terms, mix);
}

TEST(Autodiff, GradientsOfInputsLeaveTheGradientArrayAlone) {
  const RandomGraph net = network(everything);
  const auto gradients = append_backward(*net.graph, net.loss, {.parameters = false, .inputs = {net.mix}});
  net.graph->output("dmix", gradients[0]);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();
  for (const float value : run.gradients().flat())
    EXPECT_TRUE(std::isnan(value));
  EXPECT_THAT(planned_kinds(run), Each(Not(AllOf(HasSubstr("conv"), HasSubstr("_backward_weight")))));
  EXPECT_THAT(planned_kinds(run), Each(Not(HasSubstr("linear_backward_weight"))));
  EXPECT_THAT(planned_kinds(run), Each(Not(HasSubstr("batch_norm_backward"))));  // lies before the sum
}

TEST(Autodiff, GradientsOfWeightsComputeNoneOfInputs) {
  const RandomGraph net = network(everything);
  EXPECT_TRUE(append_backward(*net.graph, net.loss, {.parameters = true, .inputs = {}}).empty());
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  const std::vector<std::string> kinds = planned_kinds(run);
  EXPECT_THAT(kinds, Each(Not(HasSubstr("weighted_sum_backward_weights"))));
  // x itself needs none: of the two pointwise passes only that of the weights.
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "pointwise_conv_backward_data"), 0);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "pointwise_conv_backward_weight"), 1);
}

TEST(Autodiff, ParametersTheLossDoesNotDependOnHaveGradientZero) {
  const RandomGraph net = network([](Graph& g, ValueId x, ValueId) {
    (void)nodes::pointwise_conv(g, x, "unused", 2, {});
    return x;
  });
  differentiate(net);
  const InputValues inputs(*net.graph, 7, classes);
  PlannedRun run(net.graph, inputs);
  run.run();  // poisons the gradients before
  const int unused = run.gradients().table().find("unused.weight");
  EXPECT_THAT(copy_of(run.gradients().view(unused)), Each(0.0F));
}

TEST(Autodiff, NoGradientOfAnInputWithoutInfluence) {
  const RandomGraph net = network([](Graph&, ValueId x, ValueId) { return x; });
  const auto gradients = append_backward(*net.graph, net.loss, {.parameters = false, .inputs = {net.mix, net.x}});
  EXPECT_EQ(gradients[0], no_value);
  EXPECT_NE(gradients[1], no_value);
}

TEST(Autodiff, RefusesWhatIsNoLoss) {
  const RandomGraph net = network([](Graph&, ValueId x, ValueId) { return x; });
  Graph& graph = *net.graph;
  const auto refusal = [&](ValueId loss, std::vector<ValueId> inputs) {
    return message_of<Error>(
        [&] { (void)append_backward(graph, loss, {.parameters = false, .inputs = std::move(inputs)}); });
  };
  EXPECT_THAT(refusal(no_value, {}), HasSubstr("the loss is value -1"));
  EXPECT_THAT(refusal(1000, {}), HasSubstr("the loss is value 1000"));
  EXPECT_THAT(refusal(net.x, {}), HasSubstr("expected the result of a node"));
  EXPECT_THAT(refusal(net.loss, {no_value}), HasSubstr("value -1"));
  EXPECT_THAT(refusal(net.loss, {net.loss}), HasSubstr("expected an input of the graph"));
  EXPECT_THAT(message_of<ShapeError>([&] { (void)append_backward(graph, nodes::relu(graph, net.x), {}); }),
              HasSubstr("expected a scalar"));
}

TEST(Autodiff, RefusesALossThatIsNoCrossEntropy) {
  Graph graph(Mode::train, {});
  const ValueId x = graph.input("x", Shape{1, 3});
  const ValueId y = nodes::linear(graph, x, "head", 1);
  EXPECT_THAT(
      message_of<UnsupportedError>([&] { (void)append_backward(graph, y, {.parameters = true, .inputs = {}}); }),
      AllOf(HasSubstr("linear"), HasSubstr("expected cross_entropy")));
}

TEST(Autodiff, RefusesTheGradientOfParametersTwice) {
  const RandomGraph net = network([](Graph&, ValueId x, ValueId) { return x; });
  (void)append_backward(*net.graph, net.loss, {.parameters = true, .inputs = {}});
  EXPECT_THAT(
      message_of<Error>([&] { (void)append_backward(*net.graph, net.loss, {.parameters = true, .inputs = {}}); }),
      HasSubstr("has its gradient already"));
}

}  // namespace
}  // namespace dnas::engine
