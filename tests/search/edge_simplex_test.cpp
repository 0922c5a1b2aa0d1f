#include "dnas/search/edge_weighting.hpp"

#include "dnas/kernels/error.hpp"
#include "search/edge_weightings.hpp"
#include "support/throws.hpp"

namespace dnas::search {
namespace {

using namespace testing_edge_weightings;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(EdgeSimplex, StartsWithEqualShares) {
  Edges edges("edge_simplex");
  EXPECT_EQ(edges.weighting->parameters(edges.group), 14);
  edges.weighting->start(edges.group, Philox(1, Stream::alpha_init), edges.beta_view());
  std::size_t e = 0;
  for (const int incoming : {2, 3, 4, 5}) {
    for (int i = 0; i < incoming; ++i, ++e)
      EXPECT_FLOAT_EQ(edges.beta[e], 1.0F / static_cast<float>(incoming));
  }
}

TEST(EdgeSimplex, MultipliesEachRowByItsBeta) {
  Edges edges("edge_simplex");
  edges.randomise();
  edges.forward();
  for (std::size_t i = 0; i < edges.mix.size(); ++i)
    EXPECT_FLOAT_EQ(edges.mix[i], edges.beta[i / edges.columns] * edges.weights[i]);
}

TEST(EdgeSimplex, GradientMatchesDifferences) {
  Edges edges("edge_simplex");
  edges.randomise();
  edges.forward();
  edges.expect_gradients([](const std::vector<double>& beta) { return beta; });
}

TEST(EdgeSimplex, GradientMayBeInPlace) {
  Edges edges("edge_simplex");
  edges.randomise();
  edges.forward();
  edges.expect_in_place();
}

// Nothing is raised to a floor: what is small stays so.
TEST(EdgeSimplex, UpdateDividesByTheSumOfANode) {
  Edges edges("edge_simplex");
  edges.beta = {1.0F, 3.0F, 0.5F, 1e-9F, 0.5F, 1.0F, 1.0F, 1.0F, 1.0F, 1.0F, 2.0F, 3.0F, 4.0F, 10.0F};
  edges.weighting->updated(edges.group, edges.beta_view());
  const std::vector<float> expected{0.25F, 0.75F, 0.5F,  1e-9F, 0.5F,  0.25F, 0.25F,
                                    0.25F, 0.25F, 0.05F, 0.1F,  0.15F, 0.2F,  0.5F};
  for (std::size_t e = 0; e < expected.size(); ++e)
    EXPECT_FLOAT_EQ(edges.beta[e], expected[e]) << e;
}

TEST(EdgeSimplex, ANodeWithoutAnyShareIsAnError) {
  Edges edges("edge_simplex");
  std::ranges::fill(edges.beta, 1.0F);
  edges.beta[0] = edges.beta[1] = 0.0F;
  EXPECT_THAT(message_of<NumericalError>([&] { edges.weighting->updated(edges.group, edges.beta_view()); }),
              AllOf(HasSubstr("state 2 in 'normal'"), HasSubstr("sum to 0"), HasSubstr("arch_learning_rate")));
}

}  // namespace
}  // namespace dnas::search
