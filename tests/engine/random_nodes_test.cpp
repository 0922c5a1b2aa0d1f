#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/gradient_check.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::bytes_of;
using test_graphs::classes;
using test_graphs::copy_of;
using test_graphs::differentiate;
using test_graphs::expect_right_gradients;
using test_graphs::InputValues;
using test_graphs::network;
using test_graphs::PlannedRun;
using test_graphs::RandomGraph;
using ::testing::HasSubstr;

struct Keys {
  ValueId rate;
  ValueId random;
};

Keys keys(Graph& graph) {
  return {graph.input("rate", Shape{1}), graph.input("random", {Shape{2}, DType::i64})};
}

/// A node that draws, of x.
using Make = std::function<ValueId(Graph&, ValueId x, const Keys&, std::int64_t site)>;

struct Random {
  std::string kind;
  Make make;
};

const std::array random_nodes{
    Random{"dropout", [](Graph& g, ValueId x, const Keys& k,
                         std::int64_t site) { return nodes::dropout(g, x, k.rate, k.random, site); }},
    Random{"drop_path", [](Graph& g, ValueId x, const Keys& k,
                           std::int64_t site) { return nodes::drop_path(g, x, k.rate, k.random, site); }},
    Random{"gaussian_noise", [](Graph& g, ValueId x, const Keys& k,
                                std::int64_t site) { return nodes::gaussian_noise(g, x, 0.5F, k.random, site); }},
    Random{"normal_noise", [](Graph& g, ValueId x, const Keys& k, std::int64_t site) {
             return nodes::normal_noise(g, g.type(x), k.random, site);
           }}};

TEST(RandomNodes, GradientOfDropoutMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const Keys k = keys(g);
    const ValueId y = nodes::dropout(g, nodes::pointwise_conv(g, x, "p", 5, {}), k.rate, k.random, 3);
    const ValueId terms[] = {y, nodes::dropout(g, y, k.rate, k.random, 4)};  // y's gradient has two contributions
    return nodes::add(g, terms);
  }));
}

TEST(RandomNodes, GradientOfDropPathMatchesDifferences) {
  expect_right_gradients(network([](Graph& g, ValueId x, ValueId) {
    const Keys k = keys(g);
    const ValueId y = nodes::pointwise_conv(g, x, "p", 5, {});
    const ValueId terms[] = {y, nodes::drop_path(g, nodes::relu(g, y), k.rate, k.random, 1)};
    return nodes::add(g, terms);
  }));
}

/// A network that reads x directly, or with noise on it.
RandomGraph noisy_network(bool noise) {
  return network([&](Graph& g, ValueId x, ValueId mix) {
    const Keys k = keys(g);
    const ValueId y = noise ? nodes::gaussian_noise(g, x, 0.5F, k.random, 9) : x;
    g.output("y", y);
    const nodes::Term terms[] = {{y, 0}, {nodes::max_pool(g, y, {}), 1}};
    return nodes::weighted_sum(g, terms, mix);
  });
}

TEST(RandomNodes, GradientOfGaussianNoiseIsThatOfItsResult) {
  const RandomGraph noisy = noisy_network(true);
  const RandomGraph plain = noisy_network(false);
  differentiate(noisy);
  differentiate(plain);
  const InputValues inputs(*noisy.graph, 7, classes);
  PlannedRun noisy_run(noisy.graph, inputs);
  noisy_run.run();
  const std::vector<float> y = copy_of(noisy_run.output("y"));
  const std::vector<float> dx = copy_of(noisy_run.output("dx"));
  EXPECT_NE(y, copy_of(inputs["x"]));
  const InputValues perturbed(*plain.graph, 7, classes);
  std::ranges::copy(y, perturbed["x"].f32());
  PlannedRun plain_run(plain.graph, perturbed);
  plain_run.run();
  EXPECT_EQ(copy_of(plain_run.output("dx")), dx);
}

TEST(RandomNodes, GradientThroughGaussianNoiseMeetsOthers) {  // of its input, before and after it was passed on
  const auto build = [](bool noise) {
    return network([&](Graph& g, ValueId x, ValueId mix) {
      const Keys k = keys(g);
      const ValueId y = nodes::batch_norm(g, x, "b", true);
      const ValueId early = nodes::pointwise_conv(g, y, "early", 3, {});
      const ValueId z = noise ? nodes::gaussian_noise(g, y, 0.0F, k.random, 2) : y;
      const nodes::Term terms[] = {{z, 0}, {early, 1}, {nodes::pointwise_conv(g, z, "late", 3, {}), 2}, {y, 3}};
      return nodes::weighted_sum(g, terms, mix);
    });
  };
  expect_right_gradients(build(true));
  const RandomGraph with = build(true);
  const RandomGraph without = build(false);
  differentiate(with);
  differentiate(without);
  const InputValues inputs(*with.graph, 7, classes);
  PlannedRun a(with.graph, inputs);
  PlannedRun b(without.graph, inputs);
  a.run();
  b.run();
  const std::vector<float> dx = copy_of(a.output("dx"));
  const std::vector<float> expected = copy_of(b.output("dx"));
  for (std::size_t i = 0; i < dx.size(); ++i)
    EXPECT_NEAR(dx[i], expected[i], 1e-6);  // sums in another order
}

TEST(RandomNodes, DrawAnewEveryStepAndTheSameForEqualKeys) {
  for (const Random& node : random_nodes) {
    const auto graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
    const Keys k = keys(*graph);
    const ValueId x = graph->input("x", Shape{6, 4, 4, 3});
    graph->output("y", node.make(*graph, x, k, 5));
    graph->output("other", node.make(*graph, x, k, 6));
    const InputValues inputs(*graph, 7, classes);
    *inputs["rate"].f32() = 0.5F;
    PlannedRun run(graph, inputs);
    PlannedRun threads(graph, inputs, 3);
    std::set<std::string> seen;
    for (const std::int64_t step : {0, 1, 2}) {
      inputs["random"].i64()[1] = step;
      run.run();
      threads.run();
      EXPECT_EQ(bytes_of(run.output("y")), bytes_of(threads.output("y"))) << node.kind;
      seen.insert(bytes_of(run.output("y")));
      seen.insert(bytes_of(run.output("other")));
    }
    EXPECT_EQ(seen.size(), 6U) << node.kind;
    inputs["random"].i64()[1] = 0;
    run.run();
    EXPECT_TRUE(seen.contains(bytes_of(run.output("y")))) << node.kind;
  }
}

TEST(RandomNodes, OfOneSiteAreOneNode) {
  Graph graph(Mode::train, {});
  const Keys k = keys(graph);
  const ValueId x = graph.input("x", Shape{6, 4, 4, 3});
  for (const Random& node : random_nodes) {
    EXPECT_EQ(node.make(graph, x, k, 5), node.make(graph, x, k, 5)) << node.kind;
    EXPECT_NE(node.make(graph, x, k, 5), node.make(graph, x, k, 6)) << node.kind;
  }
  EXPECT_NE(nodes::gaussian_noise(graph, x, 0.5F, k.random, 5), nodes::gaussian_noise(graph, x, 0.25F, k.random, 5));
}

TEST(RandomNodes, AreLeftOutOfEvaluationButNormalNoise) {
  Graph graph(Mode::eval, {});
  const Keys k = keys(graph);
  const ValueId x = graph.input("x", Shape{6, 4, 4, 3});
  for (const Random& node : random_nodes)
    EXPECT_EQ(node.make(graph, x, k, 5) == x, node.kind != "normal_noise") << node.kind;
}

TEST(RandomNodes, ComputedAgainChangeNoBit) {
  const auto build = [](const std::string& again) {
    const RandomGraph net = network([](Graph& g, ValueId x, ValueId mix) {
      const Keys k = keys(g);
      ValueId y = nodes::batch_norm(g, x, "b", true);
      std::vector<nodes::Term> terms;
      for (std::size_t i = 0; i < random_nodes.size(); ++i) {
        y = random_nodes[i].make(g, y, k, static_cast<std::int64_t>(i));
        y = nodes::depthwise_conv(g, y, random_nodes[i].kind + ".conv", {});
        terms.push_back({y, static_cast<std::int32_t>(i)});
      }
      return nodes::weighted_sum(g, terms, mix);
    });
    GradientRequest request{.parameters = true, .inputs = {net.x, net.mix}, .recompute = {}};
    for (std::size_t i = 0; i < net.graph->nodes().size(); ++i) {
      if (net.graph->nodes()[i].op->kind() == again) request.recompute.insert(i);
    }
    const std::vector<ValueId> gradients = append_backward(*net.graph, net.loss, request);
    net.graph->output("dmix", gradients[1]);
    return net.graph;
  };
  const auto kept = build("none");
  const InputValues inputs(*kept, 7, classes);
  const auto expected = PlannedRun(kept, inputs).results();
  for (const Random& node : random_nodes) {
    const auto graph = build(node.kind);
    PlannedRun run(graph, inputs);
    EXPECT_EQ(run.results(), expected) << node.kind;
    const auto times = std::ranges::count_if(run.plan().nodes(),
                                             [&](std::size_t i) { return graph->nodes()[i].op->kind() == node.kind; });
    EXPECT_EQ(times, 2) << node.kind;
  }
}

TEST(RandomNodes, RefuseWhatTheyCannotTake) {
  Graph graph(Mode::train, {});
  const Keys k = keys(graph);
  const ValueId x = graph.input("x", Shape{6, 4, 4, 3});
  for (const Random& node : random_nodes) {
    const auto refusal = [&](const Keys& given, std::int64_t site) {
      return [&, given, site] { (void)node.make(graph, x, given, site); };
    };
    EXPECT_THAT(message_of<ShapeError>(refusal({k.rate, x}, 0)),
                HasSubstr(node.kind + ": random is f32 [6, 4, 4, 3], expected the keys seed and step, i64 [2]"));
    EXPECT_THAT(message_of<ConfigError>(refusal(k, -1)), HasSubstr(node.kind + ": site is -1"));
    EXPECT_THAT(message_of<ConfigError>(refusal(k, 1 << 24)), HasSubstr("expected 0 to 16777215"));
  }
  EXPECT_THAT(message_of<ShapeError>([&] { (void)nodes::dropout(graph, x, x, k.random, 0); }),
              HasSubstr("dropout: rate is f32 [6, 4, 4, 3], expected f32 [1]"));
  EXPECT_THAT(message_of<ShapeError>([&] { (void)nodes::drop_path(graph, k.rate, k.rate, k.random, 0); }),
              HasSubstr("drop_path: x is [1]"));
  EXPECT_THAT(message_of<ConfigError>([&] { (void)nodes::gaussian_noise(graph, x, -1.0F, k.random, 0); }),
              HasSubstr("gaussian_noise: factor is -1"));
  EXPECT_THAT(message_of<DtypeError>([&] {
                (void)nodes::normal_noise(graph, {Shape{2}, DType::i64}, k.random, 0);
              }),
              HasSubstr("normal_noise: the type is i64"));
}

TEST(RandomNodes, HaveNoGradientByRateOrKeys) {
  Keys k{};
  const RandomGraph net = network([&](Graph& g, ValueId x, ValueId) {
    k = keys(g);
    const ValueId terms[] = {nodes::dropout(g, x, k.rate, k.random, 0), nodes::normal_noise(g, g.type(x), k.random, 1)};
    return nodes::add(g, terms);
  });
  const auto refusal = [&](ValueId input) {
    return message_of<UnsupportedError>(
        [&] { (void)append_backward(*net.graph, net.loss, {.parameters = false, .inputs = {input}}); });
  };
  EXPECT_THAT(refusal(k.rate), HasSubstr("dropout: has no gradient by its rate"));
  EXPECT_THAT(refusal(k.random), HasSubstr("normal_noise: has no gradient"));
}

}  // namespace
}  // namespace dnas::engine
