#include "dnas/search/genotype.hpp"

#include "dnas/kernels/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

// The forms of FairDARTS and NAS-Bench-201, and cells whose nodes need not have edges.
namespace dnas::search {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// The message of the DataError that parsing throws.
std::string rejection(const std::string& text) {
  try {
    (void)parse_genotype(text);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw Error("the test looks for '" + from + "', which is not there");
  return text.replace(at, from.size(), to);
}

// As the FairDARTS repository prints it.
constexpr const char* fairdarts_c =
    "FairDARTS_c = Genotype(normal=[('max_pool_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('dil_conv_3x3', 4, 0), "
    "('dil_conv_5x5', 4, 2), ('skip_connect', 5, 3), ('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), "
    "reduce=[('dil_conv_3x3', 2, 1), ('dil_conv_5x5', 2, 0), ('dil_conv_3x3', 3, 0), ('sep_conv_3x3', 3, 1), "
    "('sep_conv_5x5', 4, 0), ('sep_conv_5x5', 4, 3), ('sep_conv_5x5', 5, 0), ('skip_connect', 5, 1)], "
    "reduce_concat=range(2, 6))";

TEST(FairDartsText, IsReadAsOperationToFrom) {
  const Genotype genotype = parse_genotype(fairdarts_c);
  const CellGenotype& normal = genotype.cell("normal");
  EXPECT_EQ(normal.inputs, 2);
  EXPECT_THAT(normal.edges, ElementsAre(GenotypeEdge{"max_pool_3x3", 0, 2}, GenotypeEdge{"sep_conv_5x5", 1, 2},
                                        GenotypeEdge{"dil_conv_3x3", 0, 4}, GenotypeEdge{"dil_conv_5x5", 2, 4},
                                        GenotypeEdge{"skip_connect", 3, 5}, GenotypeEdge{"sep_conv_3x3", 0, 5}));
  EXPECT_THAT(normal.concat, ElementsAre(2, 3, 4, 5));  // as it stands there, with the node that has no edges
  EXPECT_EQ(to_text(genotype), replaced(fairdarts_c, "FairDARTS_c = ", ""));
}

TEST(FairDartsText, OfBothCellsIsInTuplesOfThreeIfOneNeedsThem) {
  // The official text of FairDARTS_b; its reduction cell has two edges at each node.
  const std::string text =
      "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1), ('sep_conv_3x3', 3, 1), ('dil_conv_3x3', 4, "
      "0), ('sep_conv_5x5', 4, 1), ('dil_conv_5x5', 5, 1)], normal_concat=range(2, 6), reduce=[('skip_connect', 2, "
      "0), ('dil_conv_3x3', 2, 1), ('skip_connect', 3, 0), ('dil_conv_3x3', 3, 1), ('max_pool_3x3', 4, 0), "
      "('sep_conv_3x3', 4, 1), ('skip_connect', 5, 2), ('max_pool_3x3', 5, 0)], reduce_concat=range(2, 6))";
  EXPECT_EQ(parse_genotype(text), published_genotype("FairDARTS_b"));
  EXPECT_EQ(to_text(published_genotype("FairDARTS_b")), text);
}

TEST(FairDartsText, ErrorsNameThePosition) {
  // FairDARTS_c = Genotype(normal=[(' has 33 characters, max_pool_3x3', another 15.
  EXPECT_EQ(rejection(replaced(fairdarts_c, "'max_pool_3x3', 2, 0", "'max_pool_3x3', 2, 2")),
            "genotype: predecessor 2, expected a state before 2 (the state of this edge's node) at position 51, found "
            "'2'");
  EXPECT_THAT(rejection(replaced(fairdarts_c, "'max_pool_3x3', 2, 0", "'max_pool_3x3', 0, 2")),
              HasSubstr("an edge to state 0, expected a node from 2 to 65 (tuples are (operation, to, from)) at "
                        "position 48"));
  EXPECT_THAT(rejection(replaced(fairdarts_c, "'dil_conv_3x3', 4, 0", "'dil_conv_3x3', 1, 0")),
              HasSubstr("an edge to state 1"));
  EXPECT_THAT(rejection(replaced(fairdarts_c, "'dil_conv_5x5', 4, 2", "'dil_conv_5x5', 3, 2")),
              HasSubstr("an edge to state 3 after edges to state 4"));
  EXPECT_THAT(rejection(replaced(fairdarts_c, "'sep_conv_5x5', 2, 1", "'sep_conv_5x5', 1")),
              HasSubstr("a tuple of 2 after tuples of 3"));
  EXPECT_THAT(rejection(replaced(fairdarts_c, "2, 0)", "2, 0, 0)")), HasSubstr("expected ')'"));
  EXPECT_THAT(rejection(replaced(fairdarts_c, "2, 0)", "2, 0")), HasSubstr("expected ')'"));
}

TEST(PrunedCell, LosesWhatHasNoValue) {
  const CellGenotype pruned_cell = pruned(parse_genotype(fairdarts_c).cell("normal"));
  EXPECT_THAT(pruned_cell.concat, ElementsAre(2, 4, 5));
  EXPECT_EQ(pruned_cell.edges.size(), 5U);  // without the one from node 3
  EXPECT_THAT(pruned_cell.edges.back(), (GenotypeEdge{"sep_conv_3x3", 0, 5}));

  // A node that only reads nodes without edges has no value either.
  const CellGenotype chain = {.edges = {{"skip_connect", 0, 2}, {"skip_connect", 3, 4}, {"skip_connect", 4, 5}},
                              .concat = {2, 3, 4, 5}};
  EXPECT_THAT(pruned(chain).edges, ElementsAre(GenotypeEdge{"skip_connect", 0, 2}));
  EXPECT_THAT(pruned(chain).concat, ElementsAre(2));

  const CellGenotype whole = published_genotype("DARTS_V2").cell("reduce");
  EXPECT_EQ(pruned(whole), whole);
}

TEST(PrunedCell, OfWhichNothingIsLeftIsRefused) {
  const std::string text =
      "Genotype(normal=[('none', 2, 0), ('skip_connect', 4, 3)], normal_concat=[4], reduce=[('none', 0), ('none', "
      "1)], reduce_concat=[2])";
  EXPECT_THAT(rejection(text), HasSubstr("normal cell: concat names state 4, which has no edges"));
  EXPECT_THAT(rejection(replaced(text, "[4]", "[3, 4]")), HasSubstr("states 3, 4, none of which has edges"));
  EXPECT_EQ(rejection(replaced(text, "[4]", "[2, 4]")), "accepted");
  EXPECT_EQ(rejection(replaced(text, "4, 3)", "4, 2)")), "accepted");
}

// methods.md 4.6, with operations that this build has in any space.
constexpr const char* nb201 = "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|";

TEST(Nb201Text, IsOneCellOfOneInput) {
  const Genotype genotype = parse_genotype(nb201);
  ASSERT_EQ(genotype.cells.size(), 1U);
  const CellGenotype& cell = genotype.cell("cell");
  EXPECT_EQ(cell.inputs, 1);
  EXPECT_THAT(cell.edges, ElementsAre(GenotypeEdge{"skip_connect", 0, 1}, GenotypeEdge{"none", 0, 2},
                                      GenotypeEdge{"avg_pool_3x3", 1, 2}, GenotypeEdge{"skip_connect", 0, 3},
                                      GenotypeEdge{"none", 1, 3}, GenotypeEdge{"avg_pool_3x3", 2, 3}));
  EXPECT_THAT(cell.concat, ElementsAre(3));
}

TEST(Nb201Text, SurvivesTextAndJson) {
  const Genotype genotype = parse_genotype(nb201);
  EXPECT_EQ(to_text(genotype), nb201);
  EXPECT_EQ(parse_genotype(to_json(genotype)), genotype);
  EXPECT_EQ(parse_genotype(" genotype = " + std::string(nb201) + "\n"), genotype);
  EXPECT_EQ(to_text(parse_genotype("|none~0|")), "|none~0|");
}

TEST(Nb201Text, ErrorsNameThePosition) {
  EXPECT_EQ(rejection("|none~0|+|none~0|"), "genotype: expected an operation at position 17, found the end");
  EXPECT_EQ(rejection("|none~0|none~1|"), "genotype: expected the end at position 8, found 'n'");
  EXPECT_EQ(
      rejection("|none~0|+|none~1|none~0|"),
      "genotype: expected predecessor 0 (node 2 has an edge from each of states 0 to 1, in this order) at position "
      "15, found '1'");
  EXPECT_THAT(rejection("|nome~0|"), HasSubstr("unknown operation 'nome' (did you mean 'none'?)"));
  EXPECT_EQ(rejection("|none~0"), "genotype: expected '|' at position 7, found the end");
  EXPECT_EQ(rejection("|none|"), "genotype: expected '~' at position 5, found '|'");
  EXPECT_EQ(rejection("|none ~0|"), "genotype: expected '~' at position 5, found ' '");
  EXPECT_EQ(rejection("|none~0|+none~0|none~1|"), "genotype: expected '|' at position 9, found 'n'");
  EXPECT_EQ(rejection("|none~0| +|none~0|none~1|"), "genotype: expected the end at position 9, found '+'");
}

TEST(Nb201Text, IsNotForCellsThatItCannotSay) {
  Genotype genotype = parse_genotype(nb201);
  genotype.cell("cell").concat = {2, 3};
  EXPECT_THAT(to_text(genotype), HasSubstr("\"schema\":2"));
  EXPECT_EQ(parse_genotype(to_text(genotype)), genotype);

  genotype = parse_genotype(nb201);
  genotype.cell("cell").edges.erase(genotype.cell("cell").edges.begin() + 1);
  EXPECT_EQ(parse_genotype(to_text(genotype)), genotype);

  genotype = parse_genotype(nb201);
  genotype.cells.front().name = "stage";
  EXPECT_EQ(parse_genotype(to_text(genotype)), genotype);
}

TEST(Genotype, OfLayersIsAChain) {
  const Genotype layers = {{{"layers",
                             {.edges = {{"sep_conv_3x3", 0, 1}, {"skip_connect", 1, 2}, {"sep_conv_5x5", 2, 3}},
                              .concat = {3},
                              .inputs = 1}}}};
  EXPECT_EQ(parse_genotype(to_text(layers)), layers);
  EXPECT_EQ(parse_genotype(to_json(layers)), layers);
}

TEST(Genotype, GivesCellsByName) {
  Genotype genotype = published_genotype("DARTS_V1");
  EXPECT_EQ(genotype.find("cell"), nullptr);
  EXPECT_EQ(genotype.find("reduce"), &genotype.cells[1].cell);
  genotype.cell("normal").concat = {2};
  EXPECT_THAT(genotype.cells[0].cell.concat, ElementsAre(2));
  try {
    (void)genotype.cell("reduction");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "genotype: no cell 'reduction'; it has 'normal', 'reduce'");
  }
}

}  // namespace
}  // namespace dnas::search
