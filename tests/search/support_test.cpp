#include "dnas/kernels/error.hpp"
#include "dnas/search/supernet.hpp"
#include "search/networks.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace dnas::search {
namespace {

using namespace testing_networks;
using test::message_of;
using test::Tensor;
using ::testing::HasSubstr;

constexpr std::int64_t batch_size = 3;
constexpr int classes = 5;
constexpr std::size_t edges = 14;
constexpr std::size_t candidates_per_edge = 8;

/// A small supernet whose mixing weights are 0 but for one candidate of each edge, and the support of these.
struct OneCandidateAnEdge {
  explicit OneCandidateAnEdge(bool fusion = true)
      : net(make_space("darts"),
            {.init_channels = 4, .layers = 3, .classes = classes, .batch = batch_size, .image = {8, 8, 3}}, 0.0F,
            Context::cpu(1), {.fusion = fusion, .memory_budget = 0}),
        weights(net.tables().parameters),
        states(net.tables().states) {
    weights.initialise(5);
    states.initialise(5);
    for (std::size_t g = 0; g < 2; ++g) {
      Tensor& m = mix[g];
      for (std::int64_t i = 0; i < m.size(); ++i)
        m[i] = 0.0F;
      auto& flags = support.emplace_back(edges * candidates_per_edge, std::uint8_t{0});
      for (std::size_t e = 0; e < edges; ++e) {
        const std::size_t k = (3 * e + g) % candidates_per_edge;
        m[static_cast<std::int64_t>(e * candidates_per_edge + k)] = 0.5F + 0.1F * static_cast<float>(e % 3);
        flags[e * candidates_per_edge + k] = 1;
      }
      views.push_back(m.view());
    }
  }

  const Supernet::Result& evaluate(Want want, bool restricted) {
    Mixing mixing(views);
    if (restricted) mixing.support = &support;
    const engine::Batch batch{images.view(), TensorView(labels.data(), Shape{batch_size}, DType::i64)};
    return net.evaluate(want, batch, mixing, weights.flat(), states.flat());
  }

  Supernet net;
  engine::ParameterSet weights;
  engine::ParameterSet states;
  Tensor images = Tensor::random({batch_size, 8, 8, 3}, 1);
  std::vector<std::int64_t> labels{0, 4, 2};
  std::array<Tensor, 2> mix{Tensor::random({14, 8}, 2), Tensor::random({14, 8}, 3)};
  std::vector<TensorView> views;
  Support support;
};

std::vector<float> copy_of(const TensorView& view) {
  return {view.f32(), view.f32() + view.elements()};
}

void expect_near(std::span<const float> actual, std::span<const float> expected, float tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0.0F;
  for (const float value : expected)
    largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], tolerance * largest) << "at " << i;
}

// The whole supernet, which is compared with other code elsewhere, adds nothing but zeros.
TEST(Support, RunsWhatTheWholeSupernetComputesWithZerosElsewhere) {
  for (const bool fusion : {true, false}) {
    OneCandidateAnEdge whole(fusion);
    OneCandidateAnEdge restricted(fusion);
    const double loss = whole.evaluate(Want::both, false).loss;
    const std::vector<float> logits = copy_of(whole.evaluate(Want::both, false).logits);
    const Supernet::Result& result = restricted.evaluate(Want::both, true);
    EXPECT_NEAR(result.loss, loss, 1e-5);
    expect_near(copy_of(result.logits), logits, 1e-5F);
    expect_near(restricted.net.gradient().flat(), whole.net.gradient().flat(), 2e-4F);
    for (std::size_t g = 0; g < 2; ++g) {
      std::vector<float> dmix = copy_of(whole.evaluate(Want::both, false).dmix[g]);
      for (std::size_t i = 0; i < dmix.size(); ++i)
        dmix[i] *= static_cast<float>(restricted.support[g][i]);
      expect_near(copy_of(result.dmix[g]), dmix, 2e-4F);
    }
  }
}

TEST(Support, CostsNeitherMemoryNorNodesForWhatDoesNotRun) {
  OneCandidateAnEdge whole;
  OneCandidateAnEdge restricted;
  whole.evaluate(Want::weights, false);
  restricted.evaluate(Want::weights, true);
  EXPECT_LT(restricted.net.arena_bytes(), whole.net.arena_bytes() / 2);
  EXPECT_LT(restricted.net.nodes(), whole.net.nodes() / 2);
}

TEST(Support, LeavesNoOldGradientBehind) {
  OneCandidateAnEdge bench;
  std::ranges::fill(bench.net.gradient().flat(), 7.0F);
  bench.evaluate(Want::weights, true);
  const engine::ParameterTable& table = *bench.net.tables().parameters;
  const int unused = table.find("cells.0._ops.0._ops.4.op.1.weight");  // edge 0 of a normal cell runs candidate 0
  for (const float value : std::as_const(bench.net.gradient()).values(unused))
    ASSERT_EQ(value, 0.0F);
}

TEST(Support, ANodeWithNothingToAddIsZero) {
  OneCandidateAnEdge bench;
  std::ranges::fill(bench.support[0], std::uint8_t{0});
  const Supernet::Result& result = bench.evaluate(Want::both, true);
  EXPECT_TRUE(std::isfinite(result.loss));
}

TEST(Support, SampledPlansDoNotPileUp) {
  OneCandidateAnEdge bench;
  const std::size_t first = (bench.evaluate(Want::weights, true), bench.net.arena_bytes());
  for (std::size_t step = 0; step < 40; ++step) {
    for (auto& flags : bench.support) {
      std::ranges::fill(flags, std::uint8_t{0});
      for (std::size_t e = 0; e < edges; ++e)
        flags[e * candidates_per_edge + (step + e) % candidates_per_edge] = 1;
    }
    ASSERT_TRUE(std::isfinite(bench.evaluate(Want::weights, true).loss));
  }
  EXPECT_LT(bench.net.arena_bytes(), 2 * first);
}

}  // namespace
}  // namespace dnas::search
