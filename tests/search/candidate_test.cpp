#include "dnas/search/candidate.hpp"

#include "dnas/kernels/error.hpp"
#include "search/execution.hpp"
#include "search/networks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace dnas::search {
namespace {

using namespace testing_networks;
using testing::ElementsAre;
using testing::HasSubstr;

struct Placed {
  std::unique_ptr<engine::Graph> graph;
  engine::ValueId x;
  std::optional<engine::ValueId> y;
};

Placed place(const std::string& name, const CandidateSite& site, const Shape& shape = {2, 8, 6, 16}) {
  Placed placed{std::make_unique<engine::Graph>(engine::Mode::train, engine::NetworkTables{}), engine::no_value, {}};
  placed.x = placed.graph->input("x", shape);
  placed.y = make_part(candidates(), {.name = name, .options = {}})->append(*placed.graph, placed.x, site);
  return placed;
}

CandidateSite search_site(int stride) {
  return {.name = "op", .channels = 16, .stride = stride, .affine = false, .pool_norm = true};
}
CandidateSite evaluation_site(int stride) {
  return {.name = "op", .channels = 16, .stride = stride, .affine = true, .pool_norm = false};
}

std::int64_t parameters(const Placed& placed) {
  return placed.graph->tables().parameters->count();
}

TEST(Candidate, KeepsTheChannelsAndDividesTheExtentsByTheStride) {
  for (const std::string& name : candidates().names()) {
    if (name == "none") continue;
    SCOPED_TRACE(name);
    const Placed same = place(name, search_site(1));
    EXPECT_EQ(same.graph->shape(same.y.value()), (Shape{2, 8, 6, 16}));
    const Placed half = place(name, search_site(2));
    EXPECT_EQ(half.graph->shape(half.y.value()), (Shape{2, 4, 3, 16}));
  }
}

TEST(Candidate, CountsOfParametersAreExactInSearch) {
  EXPECT_EQ(parameters(place("sep_conv_3x3", search_site(1))), 800);
  EXPECT_EQ(parameters(place("sep_conv_5x5", search_site(1))), 1312);
  EXPECT_EQ(parameters(place("dil_conv_3x3", search_site(1))), 400);
  EXPECT_EQ(parameters(place("dil_conv_5x5", search_site(1))), 656);
  EXPECT_EQ(parameters(place("skip_connect", search_site(1))), 0);
  EXPECT_EQ(parameters(place("skip_connect", search_site(2))), 256);
  EXPECT_EQ(parameters(place("max_pool_3x3", search_site(1))), 0);
  EXPECT_EQ(parameters(place("avg_pool_3x3", search_site(2))), 0);
}

TEST(Candidate, CountsOfParametersAreExactInEvaluation) {
  EXPECT_EQ(parameters(place("sep_conv_3x3", evaluation_site(1))), 864);
  EXPECT_EQ(parameters(place("sep_conv_5x5", evaluation_site(1))), 1376);
  EXPECT_EQ(parameters(place("dil_conv_3x3", evaluation_site(1))), 432);
  EXPECT_EQ(parameters(place("dil_conv_5x5", evaluation_site(1))), 688);
  EXPECT_EQ(parameters(place("sep_conv_7x7", evaluation_site(1))), 2 * (7 * 7 * 16 + 16 * 16 + 2 * 16));
  EXPECT_EQ(parameters(place("conv_7x1_1x7", evaluation_site(2))), 2 * 7 * 16 * 16 + 2 * 16);
}

TEST(Candidate, ParametersHaveTheOfficialNames) {
  EXPECT_THAT(names(*place("sep_conv_5x5", search_site(2)).graph->tables().parameters),
              ElementsAre("op.op.1.weight", "op.op.2.weight", "op.op.5.weight", "op.op.6.weight"));
  EXPECT_THAT(names(*place("dil_conv_3x3", evaluation_site(1)).graph->tables().parameters),
              ElementsAre("op.op.1.weight", "op.op.2.weight", "op.op.3.weight", "op.op.3.bias"));
  EXPECT_THAT(names(*place("skip_connect", evaluation_site(2)).graph->tables().parameters),
              ElementsAre("op.conv_1.weight", "op.conv_2.weight", "op.bn.weight", "op.bn.bias"));
  EXPECT_THAT(names(*place("conv_7x1_1x7", search_site(1)).graph->tables().parameters),
              ElementsAre("op.1.weight", "op.2.weight"));
  EXPECT_THAT(names(*place("max_pool_3x3", search_site(1)).graph->tables().states),
              ElementsAre("op.1.running_mean", "op.1.running_var"));
}

TEST(Candidate, SkipAtStrideOneIsTheValueItself) {
  const Placed placed = place("skip_connect", search_site(1));
  EXPECT_EQ(placed.y, placed.x);
  EXPECT_TRUE(placed.graph->nodes().empty());
}

// The second half of a factorised reduction reads the pixels with odd coordinates, the first half those with even ones.
TEST(Candidate, SkipAtStrideTwoReadsTwoGridsOfPixels) {
  Placed placed = place("skip_connect", search_site(2));
  placed.graph->output("y", placed.y.value());
  const Execution run(std::move(placed.graph), [](const std::string&, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t column = i / 16 % 6;
      const std::size_t row = i / (16 * 6) % 8;
      values[i] = row % 2 == 1 && column % 2 == 1 ? static_cast<float>(i % 11) : 0.0f;
    }
  });
  const TensorView y = run.output("y");
  bool second_half_is_zero = true;
  for (std::int64_t i = 0; i < y.elements(); ++i) {
    if (i % 16 < 8) {
      EXPECT_EQ(y.f32()[i], 0.0f) << i;
    } else {
      second_half_is_zero = second_half_is_zero && y.f32()[i] == 0.0f;
    }
  }
  EXPECT_FALSE(second_half_is_zero);
}

TEST(Candidate, NoneAddsNothing) {
  for (const int stride : {1, 2}) {
    const Placed placed = place("none", search_site(stride));
    EXPECT_EQ(placed.y, std::nullopt);
    EXPECT_TRUE(placed.graph->nodes().empty());
  }
}

TEST(Candidate, PoolingHasNoBatchNormInEvaluation) {
  EXPECT_TRUE(names(*place("avg_pool_3x3", evaluation_site(1)).graph->tables().states).empty());
  EXPECT_EQ(place("avg_pool_3x3", evaluation_site(1)).graph->nodes().size(), 1U);
}

TEST(Candidate, ThatDoesNotFitIsRefused) {
  const auto message = [](const std::string& name, const CandidateSite& site, const Shape& shape) -> std::string {
    try {
      (void)place(name, site, shape);
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("sep_conv_3x3", search_site(2), {1, 7, 8, 16}),
            "op: input of a stride of 2 is 7 x 8, expected even height and width");
  EXPECT_EQ(message("max_pool_3x3", search_site(1), {1, 8, 8, 12}),
            "op: input is [1, 8, 8, 12], expected [N, H, W, 16]");
  EXPECT_EQ(message("max_pool_3x3", search_site(3), {1, 8, 8, 16}), "op: stride is 3, expected 1 or 2");
  CandidateSite odd = search_site(2);
  odd.channels = 5;
  EXPECT_THAT(message("skip_connect", odd, {1, 8, 8, 5}), HasSubstr("5 output channels, expected an even number"));
}

}  // namespace
}  // namespace dnas::search
