#include "dnas/kernels/error.hpp"
#include "dnas/search/space.hpp"
#include "search/networks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dnas::search {
namespace {

using namespace testing_networks;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(DartsSpace, HasFourteenEdgesInTheOfficialOrder) {
  const auto darts = make_space("darts");
  ASSERT_EQ(darts->choice_groups().size(), 2U);
  EXPECT_EQ(darts->choice_groups()[0].name, "normal");
  EXPECT_EQ(darts->choice_groups()[1].name, "reduce");
  for (const ChoiceGroup& group : darts->choice_groups()) {
    ASSERT_EQ(group.rows(), 14);
    EXPECT_EQ(group.columns(), 8);
    EXPECT_THAT(group.concat, ElementsAre(2, 3, 4, 5));
    const int offsets[] = {0, 2, 5, 9};
    for (int node = 0; node < 4; ++node) {
      for (int from = 0; from < node + 2; ++from) {
        const ChoiceEdge& edge = group.edges[static_cast<std::size_t>(offsets[node] + from)];
        EXPECT_EQ(edge.from, from);
        EXPECT_EQ(edge.to, node + 2);
        EXPECT_THAT(edge.candidates, ElementsAre("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
                                                 "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"));
      }
    }
  }
}

TEST(Darts7Space, IsTheSameWithoutNone) {
  const auto darts7 = make_space("darts7");
  for (const ChoiceGroup& group : darts7->choice_groups()) {
    EXPECT_EQ(group.rows(), 14);
    for (const ChoiceEdge& edge : group.edges) {
      EXPECT_THAT(edge.candidates, ElementsAre("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
                                               "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"));
    }
  }
}

/// Shapes of the concatenated cell outputs are seen through the preprocessing of the next cells; cell outputs in order.
std::vector<Shape> cell_outputs(const engine::Graph& graph, int layers) {
  std::vector<Shape> shapes;
  for (int k = 1; k <= layers; ++k) {
    // preprocess1 of cell k reads the output of cell k-1; the classifier that of the last cell, averaged.
    const std::string name =
        k < layers ? "cells." + std::to_string(k) + ".preprocess1.op.1.weight" : std::string("classifier.weight");
    const int slot = graph.tables().parameters->find(name);
    for (const engine::Node& node : graph.nodes()) {
      const bool reads = std::any_of(node.inputs.begin(), node.inputs.end(), [&](engine::ValueId id) {
        return id != engine::no_value && graph.value(id).storage == engine::Storage::parameter &&
               graph.value(id).slot == slot;
      });
      if (reads) shapes.push_back(graph.shape(node.inputs[0]));
    }
  }
  return shapes;
}

TEST(CellNetwork, CellOutputsHaveThePublishedShapes) {
  NetworkConfig config = size(16, 8);
  config.batch = 3;
  const Built built = build_supernet(*make_space("darts"), config);
  EXPECT_THAT(cell_outputs(*built.graph, 8),
              ElementsAre(Shape{3, 32, 32, 64}, Shape{3, 32, 32, 64}, Shape{3, 16, 16, 128}, Shape{3, 16, 16, 128},
                          Shape{3, 16, 16, 128}, Shape{3, 8, 8, 256}, Shape{3, 8, 8, 256}, Shape{3, 256}));
  EXPECT_EQ(built.graph->shape(built.values.logits), (Shape{3, 10}));
  EXPECT_EQ(built.graph->shape(built.values.images), (Shape{3, 32, 32, 3}));
}

/// Cells whose skip candidate on the first edge is a factorised reduction.
std::vector<int> reductions(const engine::Graph& graph, int layers) {
  std::vector<int> cells;
  for (int k = 0; k < layers; ++k) {
    if (graph.tables().parameters->find("cells." + std::to_string(k) + "._ops.0._ops.3.conv_1.weight") >= 0) {
      cells.push_back(k);
    }
  }
  return cells;
}

TEST(CellNetwork, ReductionsAreAtOneAndTwoThirds) {
  const auto darts = make_space("darts");
  EXPECT_THAT(reductions(*build_supernet(*darts, size(4, 8)).graph, 8), ElementsAre(2, 5));
  EXPECT_THAT(reductions(*build_supernet(*darts, size(4, 20)).graph, 20), ElementsAre(6, 13));
  EXPECT_THAT(reductions(*build_supernet(*darts, size(4, 14)).graph, 14), ElementsAre(4, 9));
  EXPECT_THAT(reductions(*build_supernet(*darts, size(4, 1)).graph, 1), ElementsAre(0));
  EXPECT_THAT(reductions(*build_supernet(*darts, size(4, 2)).graph, 2), ElementsAre(0, 1));
}

TEST(CellNetwork, SupernetParametersFollowTheOfficialOrder) {
  const Built built = build_supernet(*make_space("darts"), size(4, 3));
  const std::vector<std::string> all = names(*built.graph->tables().parameters);
  const std::vector<std::string> expected = {"stem.0.weight",
                                             "stem.1.weight",
                                             "stem.1.bias",
                                             "cells.0.preprocess0.op.1.weight",
                                             "cells.0.preprocess1.op.1.weight",
                                             "cells.0._ops.0._ops.4.op.1.weight",
                                             "cells.0._ops.0._ops.4.op.2.weight",
                                             "cells.0._ops.0._ops.4.op.5.weight",
                                             "cells.0._ops.0._ops.4.op.6.weight",
                                             "cells.0._ops.0._ops.5.op.1.weight"};
  ASSERT_GT(all.size(), expected.size());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), all.begin()));
  EXPECT_EQ(all[all.size() - 2], "classifier.weight");
  EXPECT_EQ(all.back(), "classifier.bias");
  EXPECT_THAT(all, testing::IsSupersetOf({"cells.1._ops.0._ops.3.conv_1.weight", "cells.1._ops.0._ops.3.conv_2.weight",
                                          "cells.2.preprocess0.conv_1.weight", "cells.2.preprocess0.conv_2.weight",
                                          "cells.2._ops.13._ops.7.op.2.weight"}));
  EXPECT_THAT(names(*built.graph->tables().states),
              testing::IsSupersetOf({"cells.0.preprocess0.op.2.running_mean", "cells.0._ops.0._ops.1.1.running_mean",
                                     "cells.2.preprocess0.bn.running_var", "cells.0._ops.3._ops.4.op.3.running_var"}));
}

TEST(CellNetwork, DerivedParametersAreAffineAndInGenotypeOrder) {
  NetworkConfig config = size(4, 3);
  config.auxiliary = true;
  const Built built = build_derived(config, published_genotype("DARTS_V2"));
  const std::vector<std::string> all = names(*built.graph->tables().parameters);
  EXPECT_THAT(all, testing::IsSupersetOf({"cells.0.preprocess0.op.2.weight", "cells.0._ops.0.op.7.bias",
                                          "cells.0._ops.7.op.3.weight", "auxiliary_head.features.2.weight",
                                          "auxiliary_head.features.3.bias", "auxiliary_head.features.5.weight",
                                          "auxiliary_head.features.6.weight", "auxiliary_head.classifier.weight",
                                          "cells.2.preprocess0.bn.weight"}));
  EXPECT_THAT(std::vector<std::string>(all.end() - 4, all.end()),
              ElementsAre("auxiliary_head.classifier.weight", "auxiliary_head.classifier.bias", "classifier.weight",
                          "classifier.bias"));
  EXPECT_EQ(built.graph->tables().states->find("cells.1._ops.0.1.running_mean"), -1);  // a pool: no batch norm
  EXPECT_EQ(built.graph->shape(built.values.auxiliary_logits), (Shape{1, 10}));
  EXPECT_TRUE(built.values.mixing.empty());
}

TEST(CellNetwork, EachNodeIsOneWeightedSumOfAllItsCandidates) {
  const Built built = build_supernet(*make_space("darts"), size(4, 3));
  std::vector<std::size_t> terms;
  for (const engine::Node& node : built.graph->nodes()) {
    if (node.op->kind() == "weighted_sum") terms.push_back(node.inputs.size() - 1);
  }
  // Seven candidates (all but none) on 2, 3, 4 and 5 edges.
  EXPECT_THAT(terms, ElementsAre(14, 21, 28, 35, 14, 21, 28, 35, 14, 21, 28, 35));
}

TEST(CellNetwork, BothMixingInputsExistEvenWithoutNormalCells) {
  const Built built = build_supernet(*make_space("darts"), size(4, 1));
  ASSERT_EQ(built.values.mixing.size(), 2U);
  EXPECT_EQ(built.graph->shape(built.values.mixing[0]), (Shape{14, 8}));
  EXPECT_THAT(std::vector<std::string>(built.graph->inputs().begin(), built.graph->inputs().end()),
              testing::UnorderedElementsAre("images", "mix_normal", "mix_reduce"));
}

template <typename Exception, typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return "accepted";
}

TEST(CellNetwork, OddExtentsAtAReductionAreRefused) {
  NetworkConfig config = size(4, 8);
  config.image = {28, 30, 1};
  const std::string message = message_of<ShapeError>([&] { (void)build_supernet(*make_space("darts"), config); });
  EXPECT_THAT(message, HasSubstr("cell 5"));
  EXPECT_THAT(message, HasSubstr("14 x 15"));
  EXPECT_THAT(message, HasSubstr("multiples of 4"));
  config.image = {28, 28, 1};
  EXPECT_EQ(cell_outputs(*build_supernet(*make_space("darts"), config).graph, 8)[5], (Shape{1, 7, 7, 64}));
}

TEST(CellNetwork, SizesThatMeanNothingAreRefused) {
  const auto refused = [](auto change) {
    NetworkConfig config = size(4, 3);
    change(config);
    return message_of<Error>([&] { (void)build_supernet(*make_space("darts"), config); });
  };
  EXPECT_THAT(refused([](NetworkConfig& c) { c.layers = 0; }), HasSubstr("layers is 0"));
  EXPECT_THAT(refused([](NetworkConfig& c) { c.init_channels = -4; }), HasSubstr("init_channels is -4"));
  EXPECT_THAT(refused([](NetworkConfig& c) { c.classes = 0; }), HasSubstr("classes is 0"));
  EXPECT_THAT(refused([](NetworkConfig& c) { c.batch = 0; }), HasSubstr("batch is 0"));
  EXPECT_THAT(refused([](NetworkConfig& c) { c.image = {32, 32}; }), HasSubstr("image is [32, 32]"));
  EXPECT_THAT(refused([](NetworkConfig& c) { c.auxiliary = true; }), HasSubstr("auxiliary"));
}

TEST(CellNetwork, TheAuxiliaryClassifierNeedsMapsOfEight) {
  NetworkConfig config = size(4, 3);
  config.auxiliary = true;
  config.image = {64, 64, 3};
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(config, published_genotype("DARTS_V2")); }),
              HasSubstr("cell 2 gives 16 x 16"));
}

TEST(CellNetwork, AGenotypeThatIsNotSoundIsRefused) {
  Genotype genotype = published_genotype("DARTS_V2");
  genotype.cell("normal").edges[3].from = 3;
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(size(4, 3), genotype); }),
              HasSubstr("normal cell: edge 3 comes from state 3"));
  genotype = published_genotype("DARTS_V2");
  genotype.cell("reduce").edges[4].op = genotype.cell("reduce").edges[5].op = "none";
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(size(4, 3), genotype); }),
              HasSubstr("cells.1: state 4 has no operation but none"));
}

TEST(CellNetwork, AGenotypeOfAnotherSpaceIsRefused) {
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(size(4, 3), parse_genotype("|skip_connect~0|")); }),
              HasSubstr("its cells are 'cell', but the network has a cell 'normal'"));
  Genotype genotype = published_genotype("DARTS_V2");
  genotype.cells[1].cell = {.edges = {{"skip_connect", 0, 1}}, .concat = {1}, .inputs = 1};
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(size(4, 3), genotype); }),
              HasSubstr("reduce cell: it has 1 inputs, but the network's has 2"));
  genotype.cells.clear();
  EXPECT_THAT(message_of<ConfigError>([&] { (void)build_derived(size(4, 3), genotype); }), HasSubstr("no cells"));
}

// Chu et al. 2020: the output of a cell has as many parts as nodes have edges.
TEST(CellNetwork, NodesWithoutAValueAreLeftOut) {
  Genotype genotype = published_genotype("DARTS_V2");
  genotype.cell("normal") = {.edges = {{"skip_connect", 0, 2}, {"sep_conv_3x3", 3, 4}, {"skip_connect", 1, 5}},
                             .concat = {2, 3, 4, 5}};
  const Built built = build_derived(size(4, 3), genotype);
  EXPECT_EQ(parameters_under(*built.graph, "cells.0._ops."), 0);  // not the one that reads a node without edges
  // Cell 0 has two parts of 4 channels, which cell 1, of 8 channels, reads: 1x1 convolution and batch norm.
  EXPECT_EQ(parameters_under(*built.graph, "cells.1.preprocess1."), 2 * 4 * 8 + 2 * 8);
}

}  // namespace
}  // namespace dnas::search
