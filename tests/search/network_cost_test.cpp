#include "search/networks.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

// Exact counts: published with the methods' code or counted independently from the papers' definitions.
namespace dnas::search {
namespace {

using namespace testing_networks;

struct SupernetCase {
  std::string space;
  std::int64_t channels;
  int layers;
  std::int64_t parameters;
};

class SupernetCount : public testing::TestWithParam<SupernetCase> {};

TEST_P(SupernetCount, OfParametersIsExact) {
  const SupernetCase& c = GetParam();
  const Built built = build_supernet(*make_space(c.space), size(c.channels, c.layers));
  EXPECT_EQ(cost_of(*built.graph).parameters, c.parameters);
}

INSTANTIATE_TEST_SUITE_P(Known, SupernetCount,
                         testing::Values(SupernetCase{"darts", 16, 8, 1930618}, SupernetCase{"darts7", 16, 8, 1930618},
                                         SupernetCase{"darts", 4, 3, 72854}, SupernetCase{"darts", 8, 4, 347298},
                                         SupernetCase{"darts", 16, 5, 1275834}, SupernetCase{"darts", 16, 11, 2585146},
                                         SupernetCase{"darts", 16, 17, 3894202}),
                         [](const auto& tested) {
                           return tested.param.space + "_C" + std::to_string(tested.param.channels) + "_L" +
                                  std::to_string(tested.param.layers);
                         });

TEST(SupernetCost, OfMultiplyAddsIsExact) {
  const Built built = build_supernet(*make_space("darts"), size(16, 8));
  EXPECT_EQ(cost_of(*built.graph).multiply_adds, 300255744);
}

TEST(SupernetCost, OfItsPartsIsExact) {
  const Built built = build_supernet(*make_space("darts"), size(16, 8));
  EXPECT_EQ(parameters_under(*built.graph, "stem."), 1392);
  EXPECT_EQ(parameters_under(*built.graph, "cells.0."), 45888);
  EXPECT_EQ(parameters_under(*built.graph, "classifier."), 256 * 10 + 10);
}

struct CellCase {
  std::string name;
  std::int64_t parameters;
  std::int64_t multiply_adds;  // 0: not known
};

class DerivedCount : public testing::TestWithParam<CellCase> {};

TEST_P(DerivedCount, OfParametersAndMultiplyAddsIsExactAtC36L20) {
  const CellCase& c = GetParam();
  const Built built = build_derived(size(36, 20), published_genotype(c.name));
  const NetworkCost cost = cost_of(*built.graph);
  EXPECT_EQ(cost.parameters, c.parameters);
  if (c.multiply_adds != 0) {
    EXPECT_EQ(cost.multiply_adds, c.multiply_adds);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Published, DerivedCount,
    testing::Values(CellCase{"DARTS_V1", 3169414, 500987520}, CellCase{"DARTS_V2", 3349342, 528359040},
                    CellCase{"PC_DARTS_cifar", 3634678, 556670592}, CellCase{"PDARTS", 3433798, 532174464},
                    CellCase{"GDAS_V1", 3368782, 519428736}, CellCase{"DrNAS_cifar10", 4099294, 0},
                    CellCase{"SNAS_mild", 2661382, 422218368}, CellCase{"SNAS_moderate", 2847358, 440687232},
                    CellCase{"SGAS_Cri1_CIFAR_Best", 3795166, 601653888}, CellCase{"FairDARTS_a", 2360782, 371455200},
                    CellCase{"FairDARTS_b", 3407878, 536487552}, CellCase{"FairDARTS_c", 2598814, 0},
                    CellCase{"NoisyDARTS_a", 3257110, 513871488}, CellCase{"ISTA_twostage", 3316726, 515226240},
                    CellCase{"ISTA_onestage", 3363598, 532257408}, CellCase{"DOTS_C10", 3526030, 546662016},
                    CellCase{"Shapley_NAS_cifar10", 3603358, 558218880}, CellCase{"NASNet", 3830950, 603452448},
                    CellCase{"AmoebaNet", 3145078, 488931552}),
    [](const auto& tested) { return tested.param.name; });

TEST(DerivedCost, AtC16L8IsExact) {
  EXPECT_EQ(cost_of(*build_derived(size(16, 8), published_genotype("DARTS_V1")).graph).parameters, 232890);
  EXPECT_EQ(cost_of(*build_derived(size(16, 8), published_genotype("DARTS_V2")).graph).parameters, 246106);
}

TEST(DerivedCost, OfTheAuxiliaryHeadIsExact) {
  NetworkConfig config = size(36, 20);
  config.auxiliary = true;
  const Built built = build_derived(config, published_genotype("DARTS_V2"));
  EXPECT_EQ(cost_of(*built.graph).parameters, 3349342 + 476426);
  EXPECT_EQ(parameters_under(*built.graph, "auxiliary_head."), 476426);
}

}  // namespace
}  // namespace dnas::search
