#include "dnas/search/config.hpp"

#include <gmock/gmock.h>

namespace dnas::search {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SearchConfig distributions() {
  SearchConfig config;
  config.relaxation = "simplex";
  config.edge_weighting = "edge_simplex";
  config.arch_optimizer = "exponentiated_gradient";
  config.arch_weight_decay = 0.0;
  return config;
}

TEST(ConfigCombinations, OfDistributionsAndTheirOptimizerIsSound) {
  EXPECT_THAT(check(distributions()), IsEmpty());
  SearchConfig plain_sum = distributions();
  plain_sum.edge_weighting = "sum";
  EXPECT_THAT(check(plain_sum), IsEmpty());
  SearchConfig fixed = distributions();
  fixed.arch_optimizer = "none";
  fixed.arch_weight_decay = 1e-3;  // decays nothing
  EXPECT_THAT(check(fixed), IsEmpty());
}

TEST(ConfigCombinations, DistributionsRefuseAnOptimizerThatAdds) {
  SearchConfig config = distributions();
  config.arch_optimizer = "adam(beta1=0.5)";
  EXPECT_THAT(check(config),
              ElementsAre(AllOf(HasSubstr("relaxation is simplex, arch_optimizer is adam(beta1=0.5): "),
                                HasSubstr("negative"), HasSubstr("exponentiated_gradient or none")),
                          AllOf(HasSubstr("edge_weighting is edge_simplex, arch_optimizer is adam(beta1=0.5): "),
                                HasSubstr("edge_softmax"))));
}

TEST(ConfigCombinations, ExponentiatedGradientRefusesLogits) {
  SearchConfig config = distributions();
  config.relaxation = "softmax";
  config.edge_weighting = "edge_softmax";
  config.arch_weight_decay = 1e-3;
  EXPECT_THAT(check(config),
              ElementsAre(AllOf(HasSubstr("relaxation is softmax, arch_optimizer is exponentiated_gradient: "),
                                HasSubstr("set relaxation to simplex")),
                          AllOf(HasSubstr("edge_weighting is edge_softmax"), HasSubstr("edge_simplex or sum")),
                          AllOf(HasSubstr("arch_weight_decay is 0.001"), HasSubstr("set arch_weight_decay to 0"))));
}

TEST(ConfigCombinations, GateRefusesABilevelStepThatSharesASample) {
  SearchConfig config;
  config.relaxation = "gate(mode=two)";
  EXPECT_THAT(check(config), IsEmpty());
  config.bilevel = "unrolled";
  EXPECT_THAT(check(config), ElementsAre(AllOf(HasSubstr("relaxation is gate(mode=two), bilevel is unrolled: "),
                                               HasSubstr("set bilevel to alternating or weights_first"))));
}

TEST(ConfigCombinations, AreJudgedOfPartsThatThereAre) {
  SearchConfig config = distributions();
  config.arch_optimizer = "exponentiated";
  EXPECT_THAT(check(config), ElementsAre(HasSubstr("'exponentiated'")));
}

}  // namespace
}  // namespace dnas::search
