#include "dnas/search/supernet.hpp"

#include "dnas/kernels/error.hpp"
#include "search/networks.hpp"
#include "support/allocation_count.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace dnas::search {
namespace {

using namespace testing_networks;
using test::message_of;
using test::Tensor;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t batch_size = 3;
constexpr int classes = 5;

/// A small supernet with everything that an evaluation takes.
struct Bench {
  explicit Bench(int layers = 3, int threads = 1, bool fusion = true)
      : net(make_space("darts"),
            {.init_channels = 4, .layers = layers, .classes = classes, .batch = batch_size, .image = {8, 8, 3}}, 0.0F,
            Context::cpu(threads), {.fusion = fusion, .memory_budget = 0}),
        weights(net.tables().parameters),
        states(net.tables().states) {
    weights.initialise(5);
    states.initialise(5);
    for (Tensor& m : mix) {
      for (std::int64_t i = 0; i < m.size(); ++i)
        m[i] = 0.125F + 0.1F * m[i];
      views.push_back(m.view());
    }
  }

  /// The first `n` of six images.
  [[nodiscard]] engine::Batch batch(std::int64_t n = batch_size) {
    return {TensorView(images.view().data, {n, 8, 8, 3}), TensorView(labels.data(), Shape{n}, DType::i64)};
  }
  const Supernet::Result& evaluate(Want want, std::int64_t n = batch_size) {
    return net.evaluate(want, batch(n), views, weights.flat(), states.flat());
  }
  [[nodiscard]] std::vector<float> gradient() {
    const std::span<const float> flat = net.gradient().flat();
    return {flat.begin(), flat.end()};
  }

  Supernet net;
  engine::ParameterSet weights;
  engine::ParameterSet states;
  Tensor images = Tensor::random({6, 8, 8, 3}, 1);
  std::vector<std::int64_t> labels{0, 4, 2, 1, 3, 0};
  std::array<Tensor, 2> mix{Tensor::random({14, 8}, 2), Tensor::random({14, 8}, 3)};
  std::vector<TensorView> views;
};

/// The gradients of the mixing weights, one group after the other.
std::vector<float> mixing_gradient(const Supernet::Result& result) {
  std::vector<float> values;
  for (const TensorView& d : result.dmix)
    values.insert(values.end(), d.f32(), d.f32() + d.elements());
  return values;
}

TEST(Supernet, WeightGradientIsTheSameBitsWithAndWithoutTheOther) {
  Bench bench;
  const double loss = bench.evaluate(Want::weights).loss;
  const std::vector<float> alone = bench.gradient();
  std::ranges::fill(bench.net.gradient().flat(), 0.0F);
  EXPECT_EQ(bench.evaluate(Want::both).loss, loss);
  EXPECT_EQ(bench.gradient(), alone);
  EXPECT_NE(alone, std::vector<float>(alone.size(), 0.0F));
}

TEST(Supernet, MixingGradientIsTheSameBitsWithAndWithoutTheOther) {
  Bench bench;
  const std::vector<float> alone = mixing_gradient(bench.evaluate(Want::mixing));
  EXPECT_EQ(mixing_gradient(bench.evaluate(Want::both)), alone);
  ASSERT_EQ(alone.size(), 2U * 14 * 8);
}

TEST(Supernet, MixingAloneLeavesTheWeightGradient) {
  Bench bench;
  std::ranges::fill(bench.net.gradient().flat(), 7.0F);
  bench.evaluate(Want::mixing);
  bench.evaluate(Want::nothing);
  for (const float value : bench.gradient())
    ASSERT_EQ(value, 7.0F);
}

TEST(Supernet, ResultsDoNotDependOnTheThreads) {
  Bench one;
  const std::vector<float> dmix = mixing_gradient(one.evaluate(Want::both));
  for (const int threads : {2, 3}) {
    Bench more(3, threads);
    EXPECT_EQ(mixing_gradient(more.evaluate(Want::both)), dmix);
    EXPECT_EQ(more.gradient(), one.gradient());
  }
}

/// |a - b| / |b|
double relative_distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0.0;
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    squares += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(difference / squares);
}

// 24 images, so that the last cell's batch norms see 96 pixels: with few, 1 / sqrt(var) would magnify the rounding.
TEST(Supernet, FusionChangesNothingButRounding) {
  constexpr std::int64_t many = 24;
  const Tensor images = Tensor::random({many, 8, 8, 3}, 9);
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < many; ++i)
    labels.push_back(i * 3 % classes);
  const engine::Batch batch{images.view(), TensorView(labels.data(), Shape{many}, DType::i64)};
  const auto evaluate = [&](Bench& bench, Want want) {
    return bench.net.evaluate(want, batch, bench.views, bench.weights.flat(), bench.states.flat());
  };
  for (const Want want : {Want::weights, Want::mixing, Want::both}) {
    Bench fused;
    Bench plain(3, 1, false);
    const Supernet::Result& actual = evaluate(fused, want);
    const Supernet::Result& expected = evaluate(plain, want);
    EXPECT_NEAR(actual.loss, expected.loss, 1e-5 * expected.loss);
    const auto flat = [](const TensorView& view) {
      return std::span<const float>(view.f32(), view.f32() + view.elements());
    };
    EXPECT_LT(relative_distance(flat(actual.logits), flat(expected.logits)), 1e-4);
    EXPECT_LT(relative_distance(fused.states.flat(), plain.states.flat()), 1e-5);
    if (want != Want::mixing) {
      EXPECT_LT(relative_distance(fused.gradient(), plain.gradient()), 1e-3);
    }
    if (want != Want::weights) {
      EXPECT_LT(relative_distance(mixing_gradient(actual), mixing_gradient(expected)), 1e-3);
    }
    EXPECT_LT(fused.net.nodes(), plain.net.nodes() / 2);
    EXPECT_LT(fused.net.arena_bytes(), plain.net.arena_bytes());
  }
}

TEST(Supernet, FusionLeavesTheTablesAndEvaluationAsTheyAre) {
  Bench fused;
  Bench plain(3, 1, false);
  EXPECT_EQ(names(*fused.net.tables().parameters), names(*plain.net.tables().parameters));
  EXPECT_EQ(names(*fused.net.tables().states), names(*plain.net.tables().states));
  EXPECT_EQ(fused.net.tables().parameters->extent(), plain.net.tables().parameters->extent());
  EXPECT_EQ(fused.net.tables().states->extent(), plain.net.tables().states->extent());
  EXPECT_EQ(fused.evaluate(Want::nothing).loss, plain.evaluate(Want::nothing).loss);
}

// Central differences of the loss. The step is large for f32, so that rounding does not count, and small for the
// network, whose ReLUs have kinks.
TEST(Supernet, MixingGradientMatchesDifferences) {
  Bench bench;
  const std::vector<float> gradient = mixing_gradient(bench.evaluate(Want::mixing));
  const float step = 2.5e-4F;
  double worst = 0.0;
  double largest = 0.0;
  for (std::size_t group = 0; group < 2; ++group) {
    for (std::int64_t i = 0; i < bench.mix[group].size(); i += 5) {
      float& weight = bench.mix[group][i];
      const float middle = weight;
      weight = middle + step;
      const double above = bench.evaluate(Want::weights).loss;
      weight = middle - step;
      const double below = bench.evaluate(Want::weights).loss;
      weight = middle;
      const double difference = (above - below) / (2.0 * static_cast<double>(step));
      const double expected = gradient[group * 14 * 8 + static_cast<std::size_t>(i)];
      worst = std::max(worst, std::abs(difference - expected));
      largest = std::max(largest, std::abs(expected));
    }
  }
  RecordProperty("worst_relative_to_largest", std::to_string(worst / largest));
  EXPECT_LT(worst, 0.03 * largest);
}

// Along the gradient the loss changes by its squared norm.
TEST(Supernet, WeightGradientMatchesADifferenceAlongIt) {
  Bench bench;
  bench.evaluate(Want::weights);
  const std::vector<float> gradient = bench.gradient();
  double squares = 0.0;
  for (const float g : gradient)
    squares += static_cast<double>(g) * g;
  const double step = 2e-4 / std::sqrt(squares);
  const auto loss_at = [&](double distance) {
    engine::ParameterSet moved(bench.net.tables().parameters);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      moved.flat()[i] = static_cast<float>(bench.weights.flat()[i] + distance * gradient[i]);
    return bench.net.evaluate(Want::mixing, bench.batch(), bench.views, moved.flat(), bench.states.flat()).loss;
  };
  const double slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
  EXPECT_NEAR(slope / squares, 1.0, 0.03);
}

TEST(Supernet, RunningStatisticsMoveInTrainingOnly) {
  Bench bench;
  const auto states = [&] { return std::vector<float>(bench.states.flat().begin(), bench.states.flat().end()); };
  const std::vector<float> before = states();
  bench.evaluate(Want::nothing);
  EXPECT_EQ(states(), before);
  for (const Want want : {Want::weights, Want::mixing, Want::both}) {
    const std::vector<float> last = states();
    bench.evaluate(want);
    EXPECT_NE(states(), last);
  }
}

TEST(Supernet, EvaluationsDoNotDisturbEachOther) {
  Bench alone;
  const double small_loss = alone.evaluate(Want::weights, 2).loss;
  const std::vector<float> small = alone.gradient();
  Bench bench;
  for (int round = 0; round < 2; ++round) {
    bench.evaluate(Want::both, 6);
    bench.evaluate(Want::nothing, 6);
    EXPECT_EQ(bench.evaluate(Want::weights, 2).loss, small_loss);
    EXPECT_EQ(bench.gradient(), small);
  }
}

TEST(Supernet, PlansShareOneArena) {
  const std::vector<std::pair<Want, std::int64_t>> wanted{
      {Want::weights, 3}, {Want::mixing, 3}, {Want::both, 3}, {Want::nothing, 6}, {Want::weights, 1}};
  std::size_t largest = 0;
  Bench together;
  for (const auto& [want, n] : wanted) {
    Bench alone;
    alone.net.prepare(want, n);
    EXPECT_GT(alone.net.arena_bytes(), 0U);
    largest = std::max(largest, alone.net.arena_bytes());
    together.net.prepare(want, n);
  }
  EXPECT_EQ(together.net.arena_bytes(), largest);
}

TEST(Supernet, PreparedEvaluationsAllocateNothing) {
  Bench bench;
  const std::array wants{Want::weights, Want::mixing, Want::both, Want::nothing};
  const std::array sizes{batch_size, std::int64_t{2}};
  const auto evaluate_all = [&] {
    for (const std::int64_t n : sizes) {
      for (const Want want : wants)
        bench.evaluate(want, n);
    }
  };
  evaluate_all();
  const std::int64_t before = test::allocations();
  evaluate_all();
  EXPECT_EQ(test::allocations(), before);
}

TEST(Supernet, LossThatIsNotFiniteIsAnError) {
  Bench bench;
  bench.weights.flat()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of<NumericalError>([&] { bench.evaluate(Want::mixing); }),
              AllOf(HasSubstr("the loss is"), HasSubstr("nan"), HasSubstr("architecture gradient")));
}

TEST(Supernet, NamesWhatDoesNotFit) {
  Bench bench;
  const auto evaluate = [&](const engine::Batch& batch, std::span<const TensorView> mix) {
    bench.net.evaluate(Want::weights, batch, mix, bench.weights.flat(), bench.states.flat());
  };
  engine::Batch batch = bench.batch();
  batch.labels.shape = Shape{2};
  EXPECT_THAT(message_of<ShapeError>([&] { evaluate(batch, bench.views); }), HasSubstr("labels"));
  EXPECT_THAT(message_of<ShapeError>([&] { evaluate(bench.batch(), std::span(bench.views).first(1)); }),
              AllOf(HasSubstr("1 mixing"), HasSubstr("expected 2")));
  const Tensor narrow({14, 7});
  const std::vector<TensorView> wrong{bench.views[0], narrow.view()};
  EXPECT_THAT(message_of<ShapeError>([&] { evaluate(bench.batch(), wrong); }), HasSubstr("mix_reduce"));
  EXPECT_THROW(bench.net.evaluate(Want::weights, bench.batch(), bench.views, bench.weights.flat().first(10),
                                  bench.states.flat()),
               ShapeError);
}

}  // namespace
}  // namespace dnas::search
