#include "dnas/search/nb201_code.hpp"

#include "dnas/kernels/error.hpp"
#include "support/nb201_csv.hpp"
#include "support/throws.hpp"

namespace dnas::search {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* readme_cell =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|";

std::string rejection(const std::string& text) {
  return message_of<DataError>([&] { (void)parse_nb201_cell(text); });
}

TEST(Nb201Code, DigitsAreOperationsWithTheFirstEdgeFirst) {
  const Nb201Cell cell = parse_nb201_cell(readme_cell);
  EXPECT_EQ(cell, (Nb201Cell{3, 3, 4, 1, 3, 1}));
  // ((((3 * 5 + 3) * 5 + 4) * 5 + 1) * 5 + 3) * 5 + 1
  EXPECT_EQ(nb201_code(cell), 11'791);
}

TEST(Nb201Code, TextsOfAllArchitecturesAreTheCodesInOrder) {
  const std::vector<std::string> texts = test::nb201_architecture_texts();
  ASSERT_EQ(texts.size(), 15'625U);
  for (int code = 0; code < nb201_architectures; ++code) {
    const std::string& text = texts[static_cast<std::size_t>(code)];
    ASSERT_EQ(nb201_code(parse_nb201_cell(text)), code);
    ASSERT_EQ(to_text(nb201_cell(code)), text);
  }
}

TEST(Nb201Code, WrongTextSaysWhereAndWhatWasExpected) {
  EXPECT_THAT(rejection(""), AllOf(HasSubstr("at character 1: expected '|'"), HasSubstr("the form is |op~0|+|op~0|")));
  EXPECT_THAT(rejection("|nor_conv_3x3~0|+|nor_cnv_3x3~0|"),
              AllOf(HasSubstr("at character 19: expected one of none, "), HasSubstr("did you mean nor_conv_3x3?")));
  EXPECT_THAT(rejection("|none~1|"), HasSubstr("at character 7: expected '0'"));
  EXPECT_THAT(rejection("|none~0|none~1|"), HasSubstr("at character 9: expected '+'"));
  EXPECT_THAT(rejection("|none~0|+|none~0|+"), HasSubstr("at character 18: expected one of"));
  EXPECT_THAT(rejection("|none"), HasSubstr("at character 6: expected '~'"));
  EXPECT_THAT(rejection(std::string(readme_cell) + "+"), HasSubstr("at character 96: expected the end"));
  EXPECT_THAT(rejection("|\x1b[31m"), HasSubstr("'|?[31m'")) << "nothing that a terminal obeys";
}

TEST(Nb201Code, CellOfAGenotypeIsThatOfItsEdges) {
  Genotype genotype;
  CellGenotype cell;
  cell.inputs = 1;
  cell.concat = {3};
  cell.edges = {{"nor_conv_3x3", 0, 1}, {"nor_conv_3x3", 0, 2}, {"avg_pool_3x3", 1, 2},
                {"skip_connect", 0, 3}, {"nor_conv_3x3", 1, 3}, {"skip_connect", 2, 3}};
  genotype.cells = {{"cell", cell}};
  EXPECT_EQ(nb201_cell(genotype), (Nb201Cell{3, 3, 4, 1, 3, 1}));
}

TEST(Nb201Code, GenotypeOfAnotherSpaceIsRefused) {
  EXPECT_THAT(message_of<DataError>([] { (void)nb201_cell(published_genotype("DARTS_V2")); }),
              AllOf(HasSubstr("'Genotype(normal="), HasSubstr("not of the space of NAS-Bench-201")));
  Genotype smaller;
  smaller.cells = {{"cell", {{{"none", 0, 1}}, {1}, 1}}};
  EXPECT_THAT(message_of<DataError>([&] { (void)nb201_cell(smaller); }),
              HasSubstr("'|none~0|': at character 9: expected '+'"));
  smaller.cells[0].cell.edges = {{"none", 0, 1}, {"none", 0, 2}, {"none", 1, 2},
                                 {"none", 0, 3}, {"none", 1, 3}, {"sep_conv_3x3", 2, 3}};
  smaller.cells[0].cell.concat = {3};
  EXPECT_THAT(message_of<DataError>([&] { (void)nb201_cell(smaller); }), HasSubstr("expected one of none, "));
}

TEST(Nb201Code, OutOfRangeIsRefused) {
  EXPECT_THROW((void)nb201_cell(-1), ConfigError);
  EXPECT_THROW((void)nb201_cell(nb201_architectures), ConfigError);
  EXPECT_THROW((void)nb201_code({0, 0, 5, 0, 0, 0}), ConfigError);
  EXPECT_THROW((void)to_text(Nb201Cell{0, 0, 0, 0, 0, -1}), ConfigError);
}

}  // namespace
}  // namespace dnas::search
