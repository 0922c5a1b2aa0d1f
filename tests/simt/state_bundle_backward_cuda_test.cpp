#include "simt/state_bundle_backward_fixture.hpp"

#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

// Gradients of states of many shapes, against loops in double precision.
namespace dnas::kernels::cuda {
namespace {

using simt::all_kinds;
using simt::BackwardState;
using simt::darts;
using simt::darts_of;
using simt::pool3;
using simt::separable;
using Case = simt::StateCase;

class StateBundleBackwardCuda : public testing::TestWithParam<std::tuple<Case, Product, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
  const Case& c = std::get<0>(GetParam());
  Product product = std::get<1>(GetParam());
};

TEST_P(StateBundleBackwardCuda, OfAnArchitectureStepMatchesLoops) {
  BackwardState state(c, product, 1);
  simt::run_backward(c.stride, {state.arguments(false, Write::overwrite)}, product);
  state.check(false, Write::overwrite);
}

TEST_P(StateBundleBackwardCuda, OfAWeightStepMatchesLoops) {
  BackwardState state(c, product, 1);
  simt::run_backward(c.stride, {state.arguments(true, Write::accumulate)}, product);
  state.check(true, Write::accumulate);
}

const std::vector<Case> all_products{
    {"Darts", {2, 8, 8, 16}, 1, darts_of(16)},
    {"DartsStrided", {2, 9, 10, 16}, 2, darts_of(16)},
    {"Channels32", {1, 10, 18, 32}, 1, darts_of(32)},
    {"Channels64", {1, 9, 10, 64}, 1, separable({{5, 1, 2}, {3, 2, 2}}, {64, 64})},
    {"Normalised", {3, 7, 5, 8}, 1, separable({{3, 1, 1}, {5, 2, 4}}, {8, 8}), true},
};
const std::vector<Case> shapes{
    {"ManyTiles", {1, 35, 33, 16}, 1, separable({{5, 1, 2}, {5, 2, 4}}, {16, 16})},
    {"ManyTilesStrided", {2, 35, 33, 16}, 2, separable({{5, 1, 2}, {5, 2, 4}}, {16, 16})},
    {"Channels32Strided", {1, 12, 36, 32}, 2, darts_of(32)},
    {"Channels64Strided", {1, 18, 17, 64}, 2, separable({{3, 1, 1}, {5, 2, 4}}, {64, 64})},
    {"Odd", {2, 7, 9, 8}, 1, darts_of(8)},
    {"OddStrided", {2, 9, 7, 8}, 2, darts_of(8)},
    {"Four", {3, 5, 5, 4}, 1, darts_of(4)},
    {"FourStrided", {3, 6, 5, 4}, 2, darts_of(4)},
    {"Ragged", {2, 5, 6, 3}, 1, separable(darts, {3, 5, 7, 1})},
    {"RaggedStrided", {2, 5, 6, 1}, 2, separable(darts, {3, 5, 7, 1})},
    {"Ragged12", {2, 6, 6, 12}, 1, separable(darts, {12, 8, 20, 16})},
    {"Ragged20", {2, 6, 6, 20}, 2, separable(darts, {20, 40, 33, 16})},
    {"Wide48", {1, 10, 9, 48}, 1, separable({{7, 1, 3}, {7, 2, 6}, {1, 1, 0}}, {48, 64, 16})},
    {"WideStrided", {2, 9, 10, 16}, 2, separable({{7, 1, 3}, {7, 2, 6}, {1, 1, 0}}, {16, 16, 16})},
    {"OneByOneStrided", {2, 8, 8, 16}, 2, separable({{1, 1, 0}}, {16})},
    {"NoPadding", {2, 8, 8, 16}, 1, separable({{5, 1, 0}}, {16})},
    {"MuchPadding", {2, 5, 6, 16}, 1, separable({{5, 1, 4}, {3, 2, 4}}, {16, 16})},
    {"LongSpans", {2, 12, 12, 16}, 1, separable({{3, 6, 6}, {7, 4, 12}}, {16, 16})},
    {"OnePixel", {1, 1, 1, 16}, 1, darts_of(16)},
    {"OnePixelStrided", {4, 1, 1, 8}, 2, darts_of(8)},
    {"ManyBlocks", {40, 4, 4, 8}, 1, darts_of(8)},
    {"TilesInTurn", {300, 2, 1, 16}, 1, separable({{3, 1, 1}}, {16}), true},
    {"Slices", {2, 8, 8, 16}, 1, darts_of(16), false, {16, 32}, {48, 0}},
    {"SlicesStrided", {2, 8, 8, 8}, 2, darts_of(8), false, {8, 8}, {8, 16}},
    {"MisalignedSlices", {2, 6, 5, 12}, 1, separable({{3, 1, 1}, {5, 2, 4}}, {12, 24}), true, {2, 3}, {1, 4}},
    {"FarFromZero", {4, 8, 8, 16}, 1, darts_of(16), false, {}, {}, 0, 100.0F},
    {"NormalisedFarFromZero", {4, 8, 8, 16}, 1, separable({{5, 1, 2}}, {16}), true, {}, {}, 0, 100.0F},
    {"NormalisedPixels", {70, 2, 3, 16}, 1, separable({{3, 1, 1}}, {16}), true},
    {"NormalisedStrided", {3, 8, 6, 6}, 2, separable({{3, 1, 1}, {5, 1, 2}}, {6, 6}), true},
    {"Normalised40", {2, 8, 8, 40}, 1, separable({{5, 1, 2}}, {40}), true},
};

const std::vector<Case> kinds{
    {"AllKinds", {2, 9, 18, 16}, 1, all_kinds(16, 1)},
    {"AllKindsStrided", {2, 18, 17, 16}, 2, all_kinds(16, 2)},
    {"NormalisedKinds", {2, 9, 8, 16}, 1, all_kinds(16, 1), true},
    {"NormalisedKindsStrided", {2, 9, 8, 16}, 2, all_kinds(16, 2), true},
    {"Kinds32", {1, 10, 9, 32}, 1, all_kinds(32, 1)},
    {"Kinds32Strided", {1, 17, 10, 32}, 2, all_kinds(32, 2)},
    {"Kinds64", {1, 9, 6, 64}, 1, all_kinds(64, 1)},
    {"Kinds64Strided", {1, 9, 18, 64}, 2, all_kinds(64, 2), true},
};
const std::vector<Case> kinds_f32{
    {"Pools", {2, 20, 17, 16}, 1, {{CandidateKind::max_pool, pool3, 16}, {CandidateKind::avg_pool, pool3, 16}}},
    {"RaggedKinds", {2, 5, 7, 5}, 1, all_kinds(5, 1), true, {1, 2}, {2, 1}},
    {"RaggedKindsStrided", {2, 5, 7, 6}, 2, all_kinds(6, 2), true, {1, 2}, {2, 1}},
    {"SliceOfKinds", {2, 6, 7, 4}, 1, all_kinds(4, 1), false, {4, 8}, {8, 4}},
    {"OtherPools",
     {2, 9, 8, 8},
     1,
     {{CandidateKind::max_pool, {5, 1, 2}, 8},
      {CandidateKind::avg_pool, {5, 1, 2}, 8},
      {CandidateKind::max_pool, {3, 1, 1}, 8}}},
    {"UnpaddedPools",
     {2, 8, 7, 8},
     2,
     {{CandidateKind::max_pool, {2, 1, 0}, 8}, {CandidateKind::avg_pool, {2, 1, 0}, 8}}},
    {"Identities", {2, 9, 8, 16}, 1, {{CandidateKind::identity, {}, 16}, {CandidateKind::identity, {}, 16}}, true},
    {"FactorisedReduce", {3, 7, 9, 12}, 2, {{CandidateKind::factorised_reduce, {}, 24}}, true},
    {"PoolsOfOnePixel", {2, 1, 1, 8}, 1, {{CandidateKind::max_pool, pool3, 8}, {CandidateKind::avg_pool, pool3, 8}}},
};

// For ThreadSanitizer: several tiles and blocks, every kind, sums over blocks.
const std::vector<Case> tiny{{"Tiny", {3, 5, 4, 8}, 1, all_kinds(8, 1), true},
                             {"TinyStrided", {3, 9, 8, 8}, 2, all_kinds(8, 2), true}};

std::string test_name(const testing::TestParamInfo<std::tuple<Case, Product, simt::Schedule>>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + simt::name_of(std::get<1>(info.param));
}

/// All cases with some products, under one schedule.
auto runs(const std::vector<Case>& cases, const std::vector<Product>& products, simt::Schedule schedule) {
  return testing::Combine(testing::ValuesIn(cases), testing::ValuesIn(products), testing::Values(schedule));
}

const std::vector<Product> every_product{Product::tf32x3, Product::tf32, Product::bf16};

INSTANTIATE_TEST_SUITE_P(Products, StateBundleBackwardCuda, runs(all_products, every_product, simt::Schedule::shuffled),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Shapes, StateBundleBackwardCuda, runs(shapes, {Product::tf32x3}, simt::Schedule::by_warp),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Kinds, StateBundleBackwardCuda, runs(kinds, every_product, simt::Schedule::descending),
                         test_name);
INSTANTIATE_TEST_SUITE_P(KindsOfShapes, StateBundleBackwardCuda,
                         runs(kinds_f32, {Product::tf32x3}, simt::Schedule::shuffled), test_name);
INSTANTIATE_TEST_SUITE_P(Tiny, StateBundleBackwardCuda,
                         runs(tiny, {Product::tf32, Product::bf16}, simt::Schedule::shuffled), test_name);

}  // namespace
}  // namespace dnas::kernels::cuda
