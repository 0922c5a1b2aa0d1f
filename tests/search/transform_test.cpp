#include "dnas/search/transform.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/search/supernet.hpp"
#include "search/networks.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"

#include <gmock/gmock.h>

#include <array>
#include <cmath>

namespace dnas::search {
namespace {

using namespace testing_networks;
using test::message_of;
using test::Tensor;
using ::testing::HasSubstr;

std::vector<std::unique_ptr<const Transform>> one(const std::string& name,
                                                  std::vector<std::pair<std::string, Options::Value>> options = {}) {
  std::vector<std::unique_ptr<const Transform>> list;
  list.push_back(make_part(transforms(), PartChoice{name, std::move(options)}));
  return list;
}

std::int64_t parameters_of(const std::vector<std::unique_ptr<const Transform>>& list, const NetworkConfig& config) {
  engine::Graph graph(engine::Mode::train, engine::NetworkTables{});
  static_cast<void>(make_space("darts")->build_supernet(graph, config, {.transforms = list}));
  return graph.tables().parameters->count();
}

// The count that a run of the released PC-DARTS code prints: "param size = 0.299578MB".
TEST(PartialChannel, HasThePublishedNumberOfParameters) {
  EXPECT_EQ(parameters_of(one("partial_channel"), size(16, 8)), 299'578);
}

TEST(PartialChannel, AddsAColumnForTheBypassedChannels) {
  EXPECT_EQ(channel_divisor(one("partial_channel", {{"k", std::int64_t{2}}})), 2);
  EXPECT_EQ(extra_columns(one("partial_channel")), 1);
}

TEST(PartialChannel, RefusesWidthsItDoesNotDivide) {
  const std::string message = message_of<ConfigError>([&] { parameters_of(one("partial_channel"), size(6, 3)); });
  EXPECT_THAT(message, HasSubstr("6 channels"));
  EXPECT_THAT(message, HasSubstr("4"));
}

// Skip connections at stride 2 own a factorised reduction; auxiliary ones have as many weights: on the four edges... of
// a reduction cell that come from its inputs, 2 per node, 8 of them. C (2 cells of C=32 and 64): 8 * 32^2 + 8 * 64^2.
TEST(AuxiliarySkip, OwnsFactorisedReductionsInReductionCells) {
  EXPECT_EQ(parameters_of(one("auxiliary_skip"), size(16, 8)), 1'930'618 + 8 * 32 * 32 + 8 * 64 * 64);
}

TEST(AuxiliarySkip, FadesAsThePaperSays) {
  const auto linear = make_part(transforms(), PartChoice{"auxiliary_skip", {}});
  EXPECT_DOUBLE_EQ(linear->rate(0, 50).value(), 1.0);
  EXPECT_DOUBLE_EQ(linear->rate(25, 50).value(), 0.5);
  EXPECT_NEAR(linear->rate(49, 50).value(), 0.02, 1e-12);
  const auto cosine = make_part(transforms(), PartChoice{"auxiliary_skip", {{"decay", std::string("cosine")}}});
  EXPECT_NEAR(cosine->rate(25, 50).value(), 0.5, 1e-12);
  const auto slow = make_part(transforms(), PartChoice{"auxiliary_skip", {{"decay", std::string("slow_cosine")}}});
  EXPECT_NEAR(slow->rate(25, 50).value(), std::sqrt(0.5), 1e-12);
}

/// A supernet of three cells with a transform, on random images.
struct Bench {
  explicit Bench(std::vector<std::unique_ptr<const Transform>> list = {})
      : columns(8 + extra_columns(list)),
        net(make_space("darts"), {.init_channels = 4, .layers = 3, .classes = 5, .batch = 3, .image = {8, 8, 3}}, 0.0F,
            Context::cpu(1), {.fusion = true, .memory_budget = 0}, std::move(list)),
        weights(net.tables().parameters),
        states(net.tables().states),
        mix{Tensor({14, columns}), Tensor({14, columns})} {
    weights.initialise(5);
    states.initialise(5);
    for (Tensor& m : mix) {
      for (std::int64_t i = 0; i < m.size(); ++i)
        m[i] = 0.125F;
      views.push_back(m.view());
    }
  }
  void set_extra(float value) {
    for (Tensor& m : mix) {
      for (std::int64_t row = 0; row < 14; ++row)
        m[row * columns + 8] = value;
    }
  }
  const Supernet::Result& evaluate(Want want) {
    const engine::Batch batch{images.view(), TensorView(labels.data(), Shape{3}, DType::i64)};
    return net.evaluate(want, batch, views, weights.flat(), states.flat());
  }

  std::int64_t columns;
  Supernet net;
  engine::ParameterSet weights;
  engine::ParameterSet states;
  Tensor images = Tensor::random({3, 8, 8, 3}, 1);
  std::vector<std::int64_t> labels{0, 4, 2};
  std::array<Tensor, 2> mix;
  std::vector<TensorView> views;
};

// d loss / d coefficient by differences of the loss itself.
TEST(Transform, GradientOfTheExtraColumnIsTheSlopeOfTheLoss) {
  for (const std::string name : {"partial_channel", "auxiliary_skip"}) {
    Bench bench(one(name));
    bench.set_extra(0.7F);
    double slope = 0.0;
    const Supernet::Result& result = bench.evaluate(Want::mixing);
    for (const TensorView& d : result.dmix) {
      for (std::int64_t row = 0; row < 14; ++row)
        slope += d.f32()[row * bench.columns + 8];
    }
    constexpr float h = 2e-3F;
    bench.set_extra(0.7F + h);
    const double above = bench.evaluate(Want::mixing).loss;
    bench.set_extra(0.7F - h);
    const double below = bench.evaluate(Want::mixing).loss;
    EXPECT_NEAR(slope, (above - below) / (2.0 * h), 2e-2 * std::abs(slope) + 2e-4) << name;
  }
}

TEST(AuxiliarySkip, WithoutCoefficientChangesNothing) {
  Bench plain;
  Bench with(one("auxiliary_skip"));
  with.set_extra(0.0F);
  // Weights by name: the two tables differ.
  for (const engine::ParameterSpec& spec : plain.net.tables().parameters->specs()) {
    with.weights.from_file(with.net.tables().parameters->find(spec.name),
                           plain.weights.to_file(plain.net.tables().parameters->find(spec.name)));
  }
  EXPECT_NEAR(with.evaluate(Want::mixing).loss, plain.evaluate(Want::mixing).loss, 1e-5);
}

}  // namespace
}  // namespace dnas::search
