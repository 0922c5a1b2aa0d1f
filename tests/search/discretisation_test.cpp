#include "dnas/search/discretisation.hpp"

#include "dnas/kernels/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace dnas::search {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Mixing weights for both groups of a space, all `value`.
struct Mixing {
  Mixing(const Space& space, float value) {
    for (const ChoiceGroup& group : space.choice_groups()) {
      memory.emplace_back(static_cast<std::size_t>(group.rows() * group.columns()), value);
      views.emplace_back(memory.back().data(), Shape{group.rows(), group.columns()});
    }
  }
  float& at(std::size_t group, std::size_t edge, std::size_t candidate) {
    return memory[group][edge * static_cast<std::size_t>(views[group].shape[1]) + candidate];
  }
  std::vector<std::vector<float>> memory;
  std::vector<TensorView> views;
};

std::unique_ptr<Space> space(const std::string& name) {
  return make_part(spaces(), {.name = name, .options = {}});
}
std::unique_ptr<Discretisation> top2() {
  return make_part(discretisations(), {.name = "top2", .options = {}});
}

// methods.md 8.2, case 1: traced by hand through the official algorithm.
TEST(Top2, EqualWeightsGiveTheFirstEdgesAndTheFirstOperation) {
  for (const char* name : {"darts", "darts7"}) {
    const auto darts = space(name);
    Mixing mix(*darts, 0.125f);
    const Genotype genotype = top2()->derive(*darts, mix.views);
    CellGenotype expected;
    for (int node = 2; node < 6; ++node) {
      expected.edges.push_back({"max_pool_3x3", 0, node});
      expected.edges.push_back({"max_pool_3x3", 1, node});
    }
    expected.concat = {2, 3, 4, 5};
    EXPECT_EQ(genotype, (Genotype{{{"normal", expected}, {"reduce", expected}}})) << name;
  }
}

// Case 2: planting the 16 choices of a published cell must return it, up to the order of equally strong edges.
TEST(Top2, PlantedChoicesComeBack) {
  const auto darts = space("darts");
  for (const char* name : {"DARTS_V1", "DARTS_V2", "PC_DARTS_cifar", "PDARTS", "GDAS_V1", "DrNAS_cifar10"}) {
    Genotype planted = published_genotype(name);
    Mixing mix(*darts, 0.0f);
    for (std::size_t g = 0; g < 2; ++g) {
      const ChoiceGroup& group = darts->choice_groups()[g];
      CellGenotype& cell = g == 0 ? planted.cell("normal") : planted.cell("reduce");
      for (const GenotypeEdge& edge : cell.edges) {
        const std::size_t row = static_cast<std::size_t>((edge.to - 2) * (edge.to + 1) / 2 + edge.from);
        const auto& names = group.edges[row].candidates;
        mix.at(g, row, static_cast<std::size_t>(std::find(names.begin(), names.end(), edge.op) - names.begin())) = 1.0f;
      }
      std::stable_sort(cell.edges.begin(), cell.edges.end(), [](const GenotypeEdge& a, const GenotypeEdge& b) {
        return a.to != b.to ? a.to < b.to : a.from < b.from;
      });
    }
    EXPECT_EQ(top2()->derive(*darts, mix.views), planted) << name;
  }
}

TEST(Top2, StrongerEdgesComeFirst) {
  const auto darts = space("darts");
  Mixing mix(*darts, 0.1f);
  mix.at(0, 5 + 3, 6) = 0.5f;  // node 4, from state 3: dil_conv_3x3
  mix.at(0, 5 + 1, 4) = 0.4f;  // node 4, from state 1: sep_conv_3x3
  mix.at(0, 5 + 0, 7) = 0.3f;
  const Genotype genotype = top2()->derive(*darts, mix.views);
  EXPECT_EQ(genotype.cell("normal").edges[4], (GenotypeEdge{"dil_conv_3x3", 3, 4}));
  EXPECT_EQ(genotype.cell("normal").edges[5], (GenotypeEdge{"sep_conv_3x3", 1, 4}));
}

TEST(Top2, NoneIsNeitherChosenNorCounted) {
  const auto darts = space("darts");
  Mixing mix(*darts, 0.01f);
  for (std::size_t edge = 0; edge < 14; ++edge)
    mix.at(1, edge, 0) = 0.9f;
  mix.at(1, 2, 0) = 5.0f;   // would make the edge 0 -> 3 the strongest if none counted
  mix.at(1, 3, 3) = 0.05f;  // 1 -> 3: skip_connect
  mix.at(1, 4, 5) = 0.04f;  // 2 -> 3: sep_conv_5x5
  const Genotype genotype = top2()->derive(*darts, mix.views);
  EXPECT_EQ(genotype.cell("reduce").edges[2], (GenotypeEdge{"skip_connect", 1, 3}));
  EXPECT_EQ(genotype.cell("reduce").edges[3], (GenotypeEdge{"sep_conv_5x5", 2, 3}));
}

TEST(Top2, WeightsOfAnotherShapeAreRefused) {
  const auto darts = space("darts");
  Mixing mix(*space("darts7"), 0.1f);
  EXPECT_THROW((void)top2()->derive(*darts, mix.views), ShapeError);
  Mixing one(*darts, 0.1f);
  EXPECT_THROW((void)top2()->derive(*darts, std::span(one.views).first(1)), ShapeError);
  one.views[1].data = nullptr;
  EXPECT_THROW((void)top2()->derive(*darts, one.views), ShapeError);
}

TEST(Top2, AWeightThatIsNotFiniteIsRefusedByName) {
  const auto darts = space("darts");
  Mixing mix(*darts, 0.1f);
  mix.at(1, 9, 4) = std::numeric_limits<float>::quiet_NaN();
  try {
    (void)top2()->derive(*darts, mix.views);
    FAIL() << "accepted";
  } catch (const NumericalError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'reduce' at edge 9"), HasSubstr("sep_conv_3x3")));
  }
}

}  // namespace
}  // namespace dnas::search
