#include "dnas/search/genotype.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <regex>
#include <string>
#include <vector>

namespace dnas::search {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

struct Box {
  double x, y, width, height;
};

std::vector<Box> boxes(const std::string& svg) {
  const std::regex pattern("<rect x=\"([0-9.]+)\" y=\"([0-9.]+)\" width=\"([0-9.]+)\" height=\"([0-9.]+)\"");
  std::vector<Box> result;
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), pattern); it != std::sregex_iterator(); ++it) {
    result.push_back({std::stod((*it)[1]), std::stod((*it)[2]), std::stod((*it)[3]), std::stod((*it)[4])});
  }
  return result;
}

bool overlap(const Box& a, const Box& b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

TEST(SvgDrawing, ShowsEveryEdgeOnce) {
  const CellGenotype cell = published_genotype("DARTS_V2").cell("normal");
  const std::string svg = draw_svg(cell, "normal");
  EXPECT_EQ(occurrences(svg, ">sep_conv_3x3</text>"), 5U);
  EXPECT_EQ(occurrences(svg, ">skip_connect</text>"), 2U);
  EXPECT_EQ(occurrences(svg, ">dil_conv_3x3</text>"), 1U);
  EXPECT_EQ(boxes(svg).size(), 8U + 4U + 2U + 1U);  // operations, nodes, inputs, output
}

TEST(SvgDrawing, NoBoxesOverlapInAnyPublishedCell) {
  for (const std::string& name : published_genotype_names()) {
    for (const CellGenotype& cell :
         {published_genotype(name).cell("normal"), published_genotype(name).cell("reduce")}) {
      const std::vector<Box> all = boxes(draw_svg(cell, name));
      for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k)
          EXPECT_FALSE(overlap(all[i], all[k])) << name << " " << i << " " << k;
      }
    }
  }
}

TEST(SvgDrawing, IsSelfContained) {
  const std::string svg = draw_svg(published_genotype("DARTS_V1").cell("reduce"), "reduce");
  EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
  EXPECT_EQ(occurrences(svg, "http"), 1U);  // the name space only
  EXPECT_THAT(svg, Not(HasSubstr("href")));
}

TEST(SvgDrawing, EscapesTheTitle) {
  const std::string svg = draw_svg(published_genotype("DARTS_V1").cell("normal"), "<script>\"a\" & b\n\x01");
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&quot;a&quot; &amp; b  "));
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("\x01")));
}

TEST(SvgDrawing, AnEmptyCellIsAPictureToo) {
  EXPECT_EQ(boxes(draw_svg({}, "empty")).size(), 3U);
}

TEST(SvgDrawing, OfACellOfOneInputHasOneInput) {
  const CellGenotype cell =
      parse_genotype("|skip_connect~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|").cell("cell");
  const std::string svg = draw_svg(cell, "cell");
  const std::vector<Box> all = boxes(svg);
  EXPECT_EQ(all.size(), 6U + 3U + 1U + 1U);  // operations, nodes, input, output
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k)
      EXPECT_FALSE(overlap(all[i], all[k])) << i << " " << k;
  }
  EXPECT_THAT(svg, HasSubstr(">k-1</tspan>"));
  EXPECT_THAT(svg, Not(HasSubstr(">k-2</tspan>")));
  EXPECT_THAT(draw_dot(cell, "cell"), HasSubstr("s0 [label=\"c_{k-1}\"]"));
  EXPECT_EQ(occurrences(draw_dot(cell, "cell"), " -> "), 6U + 1U);
}

TEST(SvgDrawing, OfManyInputsKeepsThemApart) {
  const CellGenotype cell = {.edges = {{"skip_connect", 7, 8}}, .concat = {8}, .inputs = 8};
  const std::vector<Box> all = boxes(draw_svg(cell, "wide"));
  EXPECT_EQ(all.size(), 1U + 1U + 8U + 1U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k)
      EXPECT_FALSE(overlap(all[i], all[k])) << i << " " << k;
  }
}

TEST(SvgDrawing, OfAChainIsAColumn) {
  CellGenotype chain{.edges = {}, .concat = {22}, .inputs = 1};
  for (int layer = 0; layer < 22; ++layer)
    chain.edges.push_back({layer % 2 == 0 ? "sep_conv_3x3" : "skip_connect", layer, layer + 1});
  const std::string svg = draw_svg(chain, "layers");
  const std::vector<Box> all = boxes(svg);
  ASSERT_EQ(all.size(), 1U + 22U + 1U);  // input, operations, output
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(all[i].x, all[0].x);
    EXPECT_GT(all[i].y, all[i - 1].y + all[i - 1].height) << i;
  }
  EXPECT_EQ(occurrences(svg, ">sep_conv_3x3</text>"), 11U);
  EXPECT_LT(svg.find(">k-1<"), svg.find(">sep_conv_3x3<"));
}

TEST(DotDrawing, ListsEdgesWithTheirOperations) {
  const std::string dot = draw_dot(published_genotype("DARTS_V2").cell("normal"), "a \"cell\"");
  EXPECT_THAT(dot, testing::StartsWith("digraph \"a \\\"cell\\\"\" {"));
  EXPECT_THAT(dot, HasSubstr("s2 -> s5 [label=\"dil_conv_3x3\""));
  EXPECT_EQ(occurrences(dot, " -> "), 8U + 4U);
  EXPECT_EQ(occurrences(dot, " -> out"), 4U);
}

}  // namespace
}  // namespace dnas::search
