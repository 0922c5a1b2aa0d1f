#include "dnas/engine/executor.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "engine/graph_runs.hpp"
#include "engine/random_graph.hpp"
#include "support/allocation_count.hpp"
#include "support/throws.hpp"

#include <algorithm>

namespace dnas::engine {
namespace {

using test::message_of;
using test_graphs::InputValues;
using test_graphs::PlannedRun;
using test_graphs::random_graph;
using test_graphs::RandomGraph;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// y = linear(relu(x)), x [2, 3], y [2, 2].
class ExecutorTest : public ::testing::Test {
 protected:
  ExecutorTest() {
    const auto graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
    const ValueId x = graph->input("x", Shape{2, 3});
    graph->output("y", nodes::linear(*graph, nodes::relu(*graph, x), "l", 2));
    plan_ = std::make_shared<const Plan>(graph, Context::cpu(1));
    executor_ = std::make_unique<Executor>(plan_, Context::cpu(1));
    weights_ = std::make_unique<ParameterSet>(graph->tables().parameters);
    arena_ = Buffer(plan_->arena_bytes() + 64);
  }

  [[nodiscard]] Bindings bindings() { return {{arena_.data(), plan_->arena_bytes()}, weights_->flat(), {}, {}}; }

  std::shared_ptr<const Plan> plan_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<ParameterSet> weights_;
  Buffer arena_;
  Buffer x_{2 * 3 * sizeof(float)};
};

TEST_F(ExecutorTest, ComputesOnTheWeightsItIsBoundTo) {
  const std::array x{1.0F, -2.0F, 3.0F, -4.0F, 5.0F, -6.0F};
  std::ranges::copy(x, x_.f32().begin());
  weights_->from_file(0, std::array{1.0F, 10.0F, 100.0F, 2.0F, 20.0F, 200.0F});
  weights_->from_file(1, std::array{0.5F, 0.25F});
  executor_->set_input("x", {x_.data(), Shape{2, 3}});  // before or after bind()
  executor_->bind(bindings());
  executor_->run();
  const float* y = executor_->output("y").f32();
  EXPECT_EQ((std::vector<float>{y, y + 4}), (std::vector<float>{301.5F, 602.25F, 50.5F, 100.25F}));

  ParameterSet others(plan_->graph().tables().parameters);
  others.from_file(1, std::array{7.0F, 8.0F});
  Bindings rebound = bindings();
  rebound.parameters = others.flat();
  executor_->bind(rebound);
  executor_->run();
  y = executor_->output("y").f32();
  EXPECT_EQ((std::vector<float>{y, y + 4}), (std::vector<float>{7.0F, 8.0F, 7.0F, 8.0F}));
}

TEST_F(ExecutorTest, RefusesToRunUnbound) {
  EXPECT_THAT(message_of<Error>([&] { executor_->run(); }), HasSubstr("before bind()"));
  EXPECT_THAT(message_of<Error>([&] { (void)executor_->output("y"); }), HasSubstr("before bind()"));
  executor_->bind(bindings());
  EXPECT_THAT(message_of<Error>([&] { executor_->run(); }), HasSubstr("input 'x' is not bound"));
  EXPECT_THAT(message_of<Error>([&] { (void)executor_->output("z"); }), HasSubstr("no output 'z'"));
}

TEST_F(ExecutorTest, RefusesUnfitMemory) {
  const auto refusal = [&](const Bindings& b) { return message_of<ShapeError>([&] { executor_->bind(b); }); };
  Bindings b = bindings();
  b.arena = b.arena.first(b.arena.size() - 1);
  EXPECT_THAT(refusal(b), AllOf(HasSubstr("the arena"), HasSubstr("expected " + std::to_string(plan_->arena_bytes()))));
  b.arena = {arena_.data() + 4, plan_->arena_bytes()};
  EXPECT_THAT(refusal(b), HasSubstr("not aligned to 64 bytes"));
  b = bindings();
  b.parameters = b.parameters.first(b.parameters.size() - 1);
  EXPECT_THAT(refusal(b), HasSubstr("the weight array"));
}

TEST_F(ExecutorTest, RefusesUnfitInputs) {
  const auto refusal = [&](const TensorView& view) {
    return message_of<ShapeError>([&] { executor_->set_input("x", view); });
  };
  EXPECT_THAT(refusal({x_.data(), Shape{3, 2}}), AllOf(HasSubstr("'x' is [3, 2]"), HasSubstr("dense [2, 3]")));
  EXPECT_THAT(refusal({x_.data(), Shape{2, 3}, 4}), HasSubstr("expected dense"));
  EXPECT_THAT(refusal({nullptr, Shape{2, 3}}), HasSubstr("without data"));
  EXPECT_THAT(message_of<DtypeError>([&] {
                executor_->set_input("x", {x_.data(), Shape{2, 3}, DType::i32});
              }),
              AllOf(HasSubstr("i32"), HasSubstr("expected f32")));
  EXPECT_THAT(message_of<Error>([&] { executor_->set_input("q", {}); }), HasSubstr("no input 'q'"));
}

TEST(Executor, NeedsGradientsAndStatesWhereThePlanDoes) {
  const RandomGraph random = random_graph(3);
  (void)nodes::batch_norm(*random.graph, random.x, "state", false);
  (void)append_backward(*random.graph, random.loss, {.parameters = true, .inputs = {}});
  const InputValues inputs(*random.graph, 1, test_graphs::classes);
  PlannedRun run(random.graph, inputs);
  const auto refusal = [&](const Bindings& b) { return message_of<ShapeError>([&] { run.executor().bind(b); }); };
  const Bindings good{run.arena(), run.weights().flat(), run.gradients().flat(), run.states().flat()};
  Bindings b = good;
  b.gradients = {};
  EXPECT_THAT(refusal(b), HasSubstr("the gradient array has 0 bytes"));
  b = good;
  b.states = {};
  EXPECT_THAT(refusal(b), HasSubstr("the state array has 0 bytes"));
  EXPECT_NO_THROW(run.executor().bind(good));
}

TEST(Executor, AllocatesNothingInARun) {
  const auto graph = std::make_shared<Graph>(Mode::train, NetworkTables{});
  const ValueId x = graph->input("x", Shape{2, 8, 8, 5});
  const ValueId mix = graph->input("mix", Shape{1, 3});
  const ValueId labels = graph->input("labels", {Shape{2}, DType::i64});
  const ValueId y = nodes::depthwise_conv(*graph, nodes::relu(*graph, x), "d", {});
  const ValueId z = nodes::batch_norm(*graph, nodes::max_pool(*graph, y, {}), "b", true);
  const ValueId p = nodes::pointwise_conv(*graph, z, "p", 5, {});
  const std::array terms{nodes::Term{y, 0}, nodes::Term{z, 1}, nodes::Term{p, 2}};
  const ValueId node = nodes::weighted_sum(*graph, terms, mix);
  const ValueId sum = nodes::add(*graph, std::array{node, z, nodes::avg_pool(*graph, z, {})});
  const ValueId joined = graph->concat(std::array{sum, z, nodes::conv(*graph, sum, "c", 3, {})});
  const ValueId logits = nodes::linear(*graph, nodes::global_avg_pool(*graph, joined), "l", test_graphs::classes);
  const ValueId loss = nodes::cross_entropy(*graph, logits, labels, 0.1F);
  graph->output("loss", loss);
  graph->output("dmix", append_backward(*graph, loss, {.parameters = true, .inputs = {mix}}).front());
  const InputValues inputs(*graph, 1, test_graphs::classes);
  PlannedRun run(graph, inputs, 2);
  run.run();
  const std::int64_t before = test::allocations();
  run.executor().run();
  run.executor().bind({run.arena(), run.weights().flat(), run.gradients().flat(), run.states().flat()});
  run.executor().set_input("x", inputs["x"]);
  run.executor().run();
  (void)run.executor().output("loss");
  EXPECT_EQ(test::allocations(), before);
}

/// Writes down what it is told.
class Recorder final : public RunObserver {
 public:
  void run_starts(const Plan&) override { events.emplace_back("run"); }
  void node_starts(const Plan& plan, std::size_t node) override { add("start ", plan, node); }
  void node_ends(const Plan& plan, std::size_t node) override { add("end ", plan, node); }

  std::vector<std::string> events;

 private:
  void add(const std::string& what, const Plan& plan, std::size_t node) {
    events.push_back(what + std::string(plan.graph().nodes()[node].op->kind()));
  }
};

TEST_F(ExecutorTest, TellsAnObserverOfEachNodeInOrder) {
  const std::array x{1.0F, -2.0F, 3.0F, -4.0F, 5.0F, -6.0F};
  std::ranges::copy(x, x_.f32().begin());
  weights_->initialise(3);
  executor_->set_input("x", {x_.data(), Shape{2, 3}});
  Recorder recorder;
  EXPECT_THAT(message_of<Error>([&] { executor_->run(recorder); }), HasSubstr("before bind()"));
  EXPECT_TRUE(recorder.events.empty());
  executor_->bind(bindings());
  executor_->run();
  const float* y = executor_->output("y").f32();
  const std::vector<float> unobserved(y, y + 4);
  std::ranges::fill(arena_.f32(), 0.0F);
  executor_->run(recorder);
  EXPECT_EQ(recorder.events, (std::vector<std::string>{"run", "start relu", "end relu", "start linear", "end linear"}));
  EXPECT_EQ((std::vector<float>{y, y + 4}), unobserved);
}

}  // namespace
}  // namespace dnas::engine
