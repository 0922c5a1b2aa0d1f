#include "dnas/search/genotype.hpp"

#include "dnas/kernels/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace dnas::search {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// As the official repository prints it.
constexpr const char* darts_v2 =
    "DARTS_V2 = Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw Error("the test looks for '" + from + "', which is not there");
  return text.replace(at, from.size(), to);
}

/// The message of the DataError that parsing throws.
std::string rejection(const std::string& text) {
  try {
    (void)parse_genotype(text);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<std::tuple<std::string, int, int>> tuples(const CellGenotype& cell) {
  std::vector<std::tuple<std::string, int, int>> result;
  for (const GenotypeEdge& edge : cell.edges)
    result.emplace_back(edge.op, edge.from, edge.to);
  return result;
}

bool has_two_edges_per_node(const CellGenotype& cell) {
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    if (cell.edges[i].to != 2 + static_cast<int>(i / 2)) return false;
  }
  return cell.edges.size() % 2 == 0;
}

TEST(GenotypeText, IsReadEdgeByEdge) {
  const Genotype genotype = parse_genotype(darts_v2);
  EXPECT_THAT(tuples(genotype.cell("normal")),
              testing::ElementsAre(std::tuple("sep_conv_3x3", 0, 2), std::tuple("sep_conv_3x3", 1, 2),
                                   std::tuple("sep_conv_3x3", 0, 3), std::tuple("sep_conv_3x3", 1, 3),
                                   std::tuple("sep_conv_3x3", 1, 4), std::tuple("skip_connect", 0, 4),
                                   std::tuple("skip_connect", 0, 5), std::tuple("dil_conv_3x3", 2, 5)));
  EXPECT_THAT(tuples(genotype.cell("reduce")),
              testing::ElementsAre(std::tuple("max_pool_3x3", 0, 2), std::tuple("max_pool_3x3", 1, 2),
                                   std::tuple("skip_connect", 2, 3), std::tuple("max_pool_3x3", 1, 3),
                                   std::tuple("max_pool_3x3", 0, 4), std::tuple("skip_connect", 2, 4),
                                   std::tuple("skip_connect", 2, 5), std::tuple("max_pool_3x3", 1, 5)));
  EXPECT_THAT(genotype.cell("normal").concat, testing::ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(genotype.cell("reduce").concat, genotype.cell("normal").concat);
}

TEST(GenotypeText, TheTableOfPublishedCellsAgreesWithTheOfficialText) {
  EXPECT_EQ(published_genotype("DARTS_V2"), parse_genotype(darts_v2));
}

TEST(GenotypeText, IsWrittenAsTheOfficialCodeLogsIt) {
  const std::string expected = replaced(replaced(replaced(darts_v2, "DARTS_V2 = ", ""), "[2, 3, 4, 5]", "range(2, 6)"),
                                        "[2, 3, 4, 5]", "range(2, 6)");
  EXPECT_EQ(to_text(parse_genotype(darts_v2)), expected);
}

TEST(GenotypeText, AConcatWithGapsIsWrittenAsAList) {
  EXPECT_THAT(to_text(published_genotype("AmoebaNet")),
              AllOf(HasSubstr("normal_concat=range(4, 7)"), HasSubstr("reduce_concat=[3, 4, 6]")));
}

TEST(GenotypeText, SpellingsThatPythonTakesAreTaken) {
  const Genotype expected = parse_genotype(darts_v2);
  std::string text = replaced(darts_v2, "normal_concat=[2, 3, 4, 5]", "normal_concat=range(2, 6)");
  EXPECT_EQ(parse_genotype(text), expected);
  text = replaced(text, "('dil_conv_3x3', 2)]", "(\"dil_conv_3x3\",2,),\n ]");
  text = replaced(text, "reduce_concat=[2, 3, 4, 5])", "reduce_concat = [2,3,4,5,],\n)  \n");
  EXPECT_EQ(parse_genotype(text), expected);
  EXPECT_EQ(parse_genotype(replaced(text, "DARTS_V2 = ", "")), expected);
}

TEST(GenotypeText, ErrorsNamePositionAndExpectation) {
  EXPECT_EQ(rejection("Genotype[normal=[]"), "genotype: expected '(' at position 8, found '['");
  EXPECT_EQ(rejection("Genotype(normal"), "genotype: expected '=' at position 15, found the end");
  EXPECT_THAT(rejection(replaced(darts_v2, "'skip_connect', 0", "'skip_conect', 0")),
              AllOf(HasSubstr("unknown operation 'skip_conect'"), HasSubstr("at position 1")));
}

TEST(GenotypeText, AnOddNumberOfEdgesIsRefused) {
  EXPECT_THAT(rejection(replaced(darts_v2, ", ('dil_conv_3x3', 2)", "")), HasSubstr("two edges per node"));
}

TEST(GenotypeText, APredecessorThatIsNotEarlierIsRefused) {
  EXPECT_THAT(rejection(replaced(darts_v2, "('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)")),
              HasSubstr("predecessor 5, expected a state before 5"));
  EXPECT_THAT(rejection(replaced(darts_v2, "('sep_conv_3x3', 0)", "('sep_conv_3x3', 2)")), HasSubstr("predecessor 2"));
}

TEST(GenotypeText, WhatTheGrammarDoesNotKnowIsRefused) {
  EXPECT_THAT(rejection(""), HasSubstr("found the end"));
  EXPECT_THAT(rejection(std::string(darts_v2) + " x"), HasSubstr("expected the end"));
  EXPECT_THAT(rejection(std::string(darts_v2) + std::string(1, '\0')), HasSubstr("byte 0x00"));
  EXPECT_THAT(rejection(replaced(darts_v2, ", 0)", ", -1)")), HasSubstr("not negative"));
  EXPECT_THAT(rejection(replaced(darts_v2, ", 0)", ", 99999999999999999999)")), HasSubstr("expected an integer up to"));
  EXPECT_THAT(rejection(replaced(darts_v2, "'sep_conv_3x3'", "'sep_conv_3x3\"")), HasSubstr("closing '"));
  EXPECT_THAT(rejection(replaced(darts_v2, "'sep_conv_3x3'", "__import__('os')")), HasSubstr("quoted name"));
  EXPECT_THAT(rejection(replaced(darts_v2, "reduce=", "normal=")), HasSubstr("'normal' is given twice"));
  EXPECT_THAT(rejection(replaced(darts_v2, "reduce=", "reduced=")), HasSubstr("expected normal, normal_concat"));
  EXPECT_THAT(rejection("Genotype(normal=[], normal_concat=[2])"), HasSubstr("'reduce' is missing"));
  EXPECT_THAT(rejection(replaced(darts_v2, "normal_concat=[2", "normal_concat=list(2")), HasSubstr("expected range"));
}

TEST(GenotypeText, ConcatNamesExistingNodesOnce) {
  EXPECT_THAT(rejection(replaced(darts_v2, "[2, 3, 4, 5]", "[2, 3, 4, 6]")), HasSubstr("concat names state 6"));
  EXPECT_THAT(rejection(replaced(darts_v2, "[2, 3, 4, 5]", "[1, 2]")), HasSubstr("concat names state 1"));
  EXPECT_THAT(rejection(replaced(darts_v2, "[2, 3, 4, 5]", "[2, 2]")), HasSubstr("concat names state 2 twice"));
  EXPECT_THAT(rejection(replaced(darts_v2, "[2, 3, 4, 5]", "range(6, 2)")), HasSubstr("concat is empty"));
}

TEST(GenotypeText, HugeInputIsRefusedAtOnce) {
  for (const char c : {'(', '[', '{', ' ', '\'', 'x', '0', '|', '+', '='}) {
    EXPECT_NE(rejection(std::string(1 << 20, c)), "accepted") << c;
    EXPECT_NE(rejection(std::string(60000, c)), "accepted") << c;
  }
  EXPECT_NE(rejection("{\"schema\": " + std::string(60000, '[')), "accepted");
  std::string cell;
  for (int node = 1; node <= 100; ++node) {
    for (int from = 0; from < node; ++from)
      cell += "|none~" + std::to_string(from);
    cell += "|+";
  }
  EXPECT_THAT(rejection(cell), HasSubstr("expected at most 64 nodes"));
}

TEST(PublishedGenotypes, SurviveTextAndJson) {
  int in_pairs = 0;
  for (const std::string& name : published_genotype_names()) {
    SCOPED_TRACE(name);
    const Genotype genotype = published_genotype(name);
    EXPECT_EQ(parse_genotype(to_json(genotype)), genotype);
    EXPECT_EQ(parse_genotype(to_text(genotype)), genotype);
    EXPECT_EQ(parse_genotype(name + "=" + to_text(genotype)), genotype);
    if (has_two_edges_per_node(genotype.cell("normal")) && has_two_edges_per_node(genotype.cell("reduce"))) ++in_pairs;
  }
  EXPECT_EQ(in_pairs, static_cast<int>(published_genotype_names().size()) - 3);  // all but FairDARTS_a, _b and _c
}

TEST(PublishedGenotypes, AnUnknownNameGetsTheChoices) {
  try {
    (void)published_genotype("DARTS_V3");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'DARTS_V3'"), HasSubstr("did you mean"), HasSubstr("PC_DARTS_cifar")));
  }
}

TEST(GenotypeJson, HasTheDocumentedForm) {
  const Genotype genotype = {{{"stem", {.edges = {{"none", 0, 2}, {"skip_connect", 2, 3}}, .concat = {3}, .inputs = 2}},
                              {"body_1", {.edges = {{"max_pool_3x3", 0, 1}}, .concat = {1}, .inputs = 1}}}};
  const std::string text =
      "{\"schema\":2,\"cells\":["
      "{\"name\":\"stem\",\"inputs\":2,\"edges\":[{\"op\":\"none\",\"from\":0,\"to\":2},"
      "{\"op\":\"skip_connect\",\"from\":2,\"to\":3}],\"concat\":[3]},"
      "{\"name\":\"body_1\",\"inputs\":1,\"edges\":[{\"op\":\"max_pool_3x3\",\"from\":0,\"to\":1}],\"concat\":[1]}]}";
  EXPECT_EQ(parse_genotype(text), genotype);
  EXPECT_EQ(to_text(genotype), text);  // no other form can say it
  EXPECT_EQ(parse_genotype(to_json(genotype)), genotype);
  EXPECT_EQ(parse_genotype("genotype = " + text), genotype);
  EXPECT_THAT(to_json(published_genotype("DARTS_V2")), HasSubstr("\"schema\": 2"));
}

TEST(GenotypeJson, OfTheFirstSchemaIsRead) {
  const Genotype genotype = {{{"normal", {.edges = {{"none", 0, 2}, {"skip_connect", 2, 3}}, .concat = {3}}},
                              {"reduce", {.edges = {{"max_pool_3x3", 1, 2}}, .concat = {2}}}}};
  const std::string text =
      "{\"schema\": 1, \"normal\": {\"edges\": [{\"op\": \"none\", \"from\": 0, \"to\": 2}, "
      "{\"op\": \"skip_connect\", \"from\": 2, \"to\": 3}], \"concat\": [3]}, "
      "\"reduce\": {\"edges\": [{\"op\": \"max_pool_3x3\", \"from\": 1, \"to\": 2}], \"concat\": [2]}}";
  EXPECT_EQ(parse_genotype(text), genotype);
  EXPECT_THAT(rejection(replaced(text, "\"from\": 2", "\"from\": -2")), HasSubstr("normal.edges[1].from"));
  EXPECT_THAT(rejection(replaced(text, "\"reduce\"", "\"reduction\"")), HasSubstr("'reduce' is missing"));
}

TEST(GenotypeJson, ErrorsNameThePath) {
  const std::string good = to_json(published_genotype("DARTS_V2"));
  EXPECT_THAT(rejection(replaced(good, "\"schema\": 2", "\"schema\": 3")),
              HasSubstr("schema: expected 1 or 2, found 3"));
  EXPECT_THAT(rejection(replaced(good, "\"from\": 0", "\"from\": -1")), HasSubstr("cells[0].edges[0].from"));
  EXPECT_THAT(rejection(replaced(good, "\"from\": 0", "\"from\": 0.5")), HasSubstr("cells[0].edges[0].from"));
  EXPECT_THAT(rejection(replaced(good, "\"from\": 0", "\"from\": 18446744073709551615")),
              HasSubstr("expected an integer"));
  EXPECT_THAT(rejection(replaced(good, "\"from\"", "\"form\"")), HasSubstr("'from' is missing"));
  EXPECT_THAT(rejection(replaced(good, "\"concat\": [", "\"x\": 0, \"concat\": [")), HasSubstr("'x' is unknown"));
  EXPECT_THAT(rejection(replaced(good, "\"op\": \"sep_conv_3x3\"", "\"op\": 3")), HasSubstr("cells[0].edges[0].op"));
  EXPECT_THAT(rejection(replaced(good, "\"sep_conv_3x3\"", "\"sep_conv_3x4\"")),
              AllOf(HasSubstr("normal cell: edge 0"), HasSubstr("did you mean 'sep_conv_3x3'")));
  EXPECT_THAT(rejection(replaced(good, "\"to\": 2", "\"to\": 3")), HasSubstr("edge 1 leads to state 2"));
  EXPECT_THAT(rejection(replaced(good, "{", "{{")), HasSubstr("not JSON at position 1"));
  EXPECT_THAT(rejection(replaced("x =" + good, "{", "{{")), HasSubstr("not JSON at position 4"));
  EXPECT_THAT(rejection("{}"), HasSubstr("'schema' is missing"));
  EXPECT_THAT(rejection("{\"schema\": 2, \"cells\": []}"), HasSubstr("it has no cells"));
}

TEST(GenotypeJson, CellsHaveNamesAndInputs) {
  const std::string good = to_json(published_genotype("DARTS_V2"));
  EXPECT_THAT(rejection(replaced(good, "\"name\": \"normal\"", "\"name\": \"reduce\"")),
              HasSubstr("two cells are called 'reduce'"));
  EXPECT_THAT(rejection(replaced(good, "\"name\": \"normal\"", "\"name\": \"../normal\"")),
              HasSubstr("a cell is called '../normal', expected up to 64 letters"));
  EXPECT_THAT(rejection(replaced(good, "\"name\": \"normal\"", "\"name\": 1")), HasSubstr("cells[0].name"));
  EXPECT_THAT(rejection(replaced(good, "\"inputs\": 2", "\"inputs\": 0")), HasSubstr("it has 0 inputs, expected 1"));
  EXPECT_THAT(rejection(replaced(good, "\"inputs\": 2", "\"inputs\": 9")), HasSubstr("it has 9 inputs, expected 1"));
  EXPECT_THAT(rejection(replaced(good, "\"inputs\": 2", "\"inputs\": 3")), HasSubstr("edge 0 leads to state 2"));
}

// Damaged input must either be read as some sound genotype or be refused with a DataError.
TEST(GenotypeParser, DamagedInputNeverEscapes) {
  std::mt19937 random(7);
  const std::string alphabet = "()[]{}|~+=,'\" 0123456789abcdefgnormalrange_\\\n\x80\xff";
  const std::vector<std::string> originals = {
      darts_v2, to_json(published_genotype("FairDARTS_a")), to_text(published_genotype("FairDARTS_c")),
      to_text(published_genotype("NASNet")), "|none~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|none~1|none~2|"};
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string text = originals[static_cast<std::size_t>(i) % originals.size()];
    for (unsigned edits = 1 + random() % 4; edits > 0 && !text.empty(); --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 12);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
        default:
          text.resize(at);
      }
    }
    try {
      const Genotype genotype = parse_genotype(text);
      EXPECT_EQ(parse_genotype(to_json(genotype)), genotype) << text;
      EXPECT_EQ(parse_genotype(to_text(genotype)), genotype) << text;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1500);
}

}  // namespace
}  // namespace dnas::search
