#include "dnas/search/edge_weighting.hpp"

#include "search/edge_weightings.hpp"

namespace dnas::search {
namespace {

using namespace testing_edge_weightings;

TEST(EdgeSoftmax, HasOneBetaAnEdge) {
  const Edges edges("edge_softmax");
  EXPECT_EQ(edges.weighting->parameters(edges.group), 14);
}

TEST(EdgeSoftmax, EqualBetasShareANodeEqually) {
  Edges edges("edge_softmax");
  std::ranges::fill(edges.weights, 1.0F);
  edges.forward();
  std::size_t e = 0;
  for (const int incoming : {2, 3, 4, 5}) {
    for (int i = 0; i < incoming; ++i, ++e) {
      for (std::size_t k = 0; k < edges.columns; ++k)
        EXPECT_NEAR(edges.mix[e * edges.columns + k], 1.0 / incoming, 1e-7) << "edge " << e;
    }
  }
}

TEST(EdgeSoftmax, MultipliesEachRowByItsShare) {
  Edges edges("edge_softmax");
  edges.randomise();
  edges.forward();
  const std::vector<double> share = edges.softmax_shares(edges.beta_in_double());
  for (std::size_t i = 0; i < edges.mix.size(); ++i)
    EXPECT_NEAR(edges.mix[i], share[i / edges.columns] * edges.weights[i], 1e-6);
}

TEST(EdgeSoftmax, GradientMatchesDifferences) {
  Edges edges("edge_softmax");
  edges.randomise();
  edges.forward();
  edges.expect_gradients([&](const std::vector<double>& beta) { return edges.softmax_shares(beta); });
}

TEST(EdgeSoftmax, EdgesOfANodeNeedNotLieSideBySide) {
  Edges edges("edge_softmax");
  std::swap(edges.group.edges[0], edges.group.edges[13]);
  edges.randomise();
  edges.forward();
  edges.expect_gradients([&](const std::vector<double>& beta) { return edges.softmax_shares(beta); });
}

TEST(EdgeSoftmax, GradientMayBeInPlace) {
  Edges edges("edge_softmax");
  edges.randomise();
  edges.forward();
  edges.expect_in_place();
}

TEST(EdgeSoftmax, SurvivesLargeBetas) {
  Edges edges("edge_softmax");
  edges.randomise();
  for (float& b : edges.beta)
    b *= 1e4F;
  edges.forward();
  edges.backward();
  for (const float value : edges.mix)
    EXPECT_TRUE(std::isfinite(value));
  for (const float value : edges.dbeta)
    EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace dnas::search
