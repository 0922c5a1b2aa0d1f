#include "simt/state_bundle_backward_fixture.hpp"

#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

// What holds of a launch as a whole: values that compare oddly, several states, results that are not wanted, schedules.
namespace dnas::kernels::cuda {
namespace {

using simt::all_kinds;
using simt::BackwardState;
using simt::darts_of;
using simt::pool3;
using simt::separable;
using Case = simt::StateCase;

// Of signs every product and sum is exact: a term that is missing or comes twice shows in bf16 as in f32.
TEST(StateBundleBackwardCudaSigns, AreExactInEveryFormat) {
  for (const int stride : {1, 2}) {
    for (const std::int64_t channels : {16, 32, 64}) {
      std::vector<simt::StateCandidate> candidates = darts_of(channels);
      candidates.push_back({CandidateKind::max_pool, pool3, channels});
      if (stride == 2) candidates.push_back({CandidateKind::factorised_reduce, {}, channels});
      if (stride == 1) candidates.push_back({CandidateKind::identity, {}, channels});
      for (const Product product : {Product::tf32x3, Product::tf32, Product::bf16}) {
        BackwardState state({"Signs", {2, 9 * stride, 10 * stride, channels}, stride, candidates}, product, 1,
                            simt::Values::signs);
        simt::run_backward(stride, {state.arguments(true, Write::accumulate)}, product);
        state.check(true, Write::accumulate);
      }
    }
  }
}

// The first of equals takes a maximum's gradient, and NaN is greater than everything.
TEST(StateBundleBackwardCudaPools, TiesAndNaN) {
  for (const int stride : {1, 2}) {
    for (const Product product : {Product::tf32x3, Product::bf16}) {
      const Case c{"Ties", {1, 9, 8, 8}, stride, {{CandidateKind::max_pool, pool3, 8}}};
      BackwardState state(c, product, 3);
      for (std::int64_t i = 0; i < state.x().size(); ++i) {
        const std::int64_t pixel = i / 8;
        state.x().set(i, static_cast<float>(pixel * (i % 8 + 3) % 5 / 2));  // 0, 1 and 2
        if (i % 8 == 5 && pixel % 7 == 3) state.x().set(i, std::numeric_limits<float>::quiet_NaN());
        if (i % 8 == 6) state.x().set(i, -std::numeric_limits<float>::infinity());
      }
      const StateGradient arguments = state.arguments(false, Write::overwrite);
      // Without y, which may be NaN.
      for (std::int64_t i = 0; i < 8; ++i)
        arguments.candidates[0].gradient.f32()[8 + i] = 0.0F;
      simt::run_backward(stride, {arguments}, product);
      state.check(false, Write::overwrite);
    }
  }
}

// A state that diverged makes gradients of weights NaN, not those of a state that is 0 there.
TEST(StateBundleBackwardCudaRelu, KeepsNaN) {
  for (const int stride : {1, 2}) {
    Case c{"NaN", {1, 17, 16, 8}, stride, darts_of(8)};
    if (stride == 2) c.candidates.push_back({CandidateKind::factorised_reduce, {}, 8});
    BackwardState state(c, Product::tf32x3, 1);
    state.x().set((8 * 16 + 8) * 8 + 5, std::numeric_limits<float>::quiet_NaN());
    simt::run_backward(stride, {state.arguments(true, Write::overwrite)}, Product::tf32x3);
    state.check(true, Write::overwrite);
  }
}

// States of one launch differ in everything but their shape.
TEST(StateBundleBackwardCudaStates, OfOneLaunchDoNotMeet) {
  const Case first{"First", {2, 18, 9, 16}, 1, all_kinds(16, 1)};
  const Case second{"Second", {2, 18, 9, 16}, 1, separable({{5, 1, 2}}, {12}), true, {3, 2}};
  const Case third{"Third", {2, 18, 9, 16}, 1, {{CandidateKind::identity, {}, 16}}, true};
  for (const bool weights : {false, true}) {
    BackwardState a(first, Product::tf32x3, 1);
    BackwardState b(second, Product::tf32x3, 2);
    BackwardState c(third, Product::tf32x3, 3);
    simt::run_backward(1,
                       {a.arguments(weights, Write::overwrite), b.arguments(weights, Write::accumulate),
                        c.arguments(weights, Write::overwrite)},
                       Product::tf32x3);
    a.check(weights, Write::overwrite);
    b.check(weights, Write::accumulate);
    c.check(weights, Write::overwrite);
  }
}

TEST(StateBundleBackwardCudaStates, OneCandidatesWeightsMayBeUnwanted) {
  const Case c{"Partly", {2, 9, 8, 16}, 1, separable({{3, 1, 1}, {5, 2, 4}, {7, 1, 3}}, {16, 16, 16})};
  BackwardState all(c, Product::tf32x3, 1);
  simt::run_backward(1, {all.arguments(true, Write::overwrite)}, Product::tf32x3);
  for (std::size_t k = 0; k < 3; ++k) {
    BackwardState some(c, Product::tf32x3, 1);
    StateGradient arguments = some.arguments(true, Write::overwrite);
    std::vector<CandidateGradient> candidates(arguments.candidates.begin(), arguments.candidates.end());
    candidates[k].dfilter = {};
    candidates[(k + 1) % 3].dpointwise = {};
    arguments.candidates = candidates;
    simt::run_backward(1, {arguments}, Product::tf32x3);
    EXPECT_TRUE(some.dx().same_bits(all.dx())) << "without " << k;
    for (std::size_t i = 0; i < 3; ++i) {
      if (candidates[i].dfilter) {
        EXPECT_TRUE(some.dfilter(i)->same_bits(*all.dfilter(i))) << i << " without " << k;
      }
      if (candidates[i].dpointwise) {
        EXPECT_TRUE(some.dpointwise(i)->same_bits(*all.dpointwise(i))) << i << " without " << k;
      }
    }
  }
}

TEST(StateBundleBackwardCudaSchedules, BitsDoNotDependOnThem) {
  const Case cases[] = {{"Kinds", {3, 9, 18, 16}, 1, all_kinds(16, 1), true},
                        {"KindsStrided", {3, 17, 18, 16}, 2, all_kinds(16, 2), true},
                        {"Blocks", {40, 4, 4, 8}, 1, darts_of(8), true},
                        {"Channels64", {2, 9, 8, 64}, 1, separable({{5, 1, 2}}, {64}), true}};
  for (const Case& c : cases) {
    BackwardState first(c, Product::tf32x3, 1);
    simt::set_schedule(simt::Schedule::ascending);
    simt::run_backward(c.stride, {first.arguments(true, Write::overwrite)}, Product::tf32x3);
    for (const simt::Schedule schedule : simt::all_schedules) {
      for (const unsigned workers : {1U, 3U}) {
        simt::set_schedule(schedule);
        simt::set_workers(workers);
        BackwardState again(c, Product::tf32x3, 1);
        simt::run_backward(c.stride, {again.arguments(true, Write::overwrite)}, Product::tf32x3);
        const auto expected = first.results();
        const auto actual = again.results();
        for (std::size_t i = 0; i < actual.size(); ++i)
          EXPECT_TRUE(actual[i]->same_bits(*expected[i])) << c << ", result " << i;
      }
    }
    simt::set_workers(0);
  }
}

TEST(StateBundleBackwardCudaLaunch, SaysWhatItNeeds) {
  const auto launch_of = [](const Case& c, Product product, bool weights) {
    BackwardState state(c, product, 1);
    return state_bundle_backward_launch(c.stride, std::vector{state.arguments(weights, Write::overwrite)}, product);
  };
  const Case canonical{"Canonical", {2, 32, 32, 16}, 1, all_kinds(16, 1)};
  const StateBundleBackwardLaunch data = launch_of(canonical, Product::tf32x3, false);
  EXPECT_EQ(data.channels, 16);
  EXPECT_EQ(data.blocks, 8U);
  EXPECT_LE(data.shared, 113U * 1024);  // two blocks per multiprocessor
  const StateBundleBackwardLaunch weights = launch_of(canonical, Product::tf32x3, true);
  EXPECT_LE(weights.shared, 113U * 1024);
  EXPECT_GT(weights.workspace, data.workspace);

  // Many tiles share a block, and its partial sums.
  const Case many{"Many", {700, 2, 2, 16}, 1, separable({{3, 1, 1}}, {16})};
  const StateBundleBackwardLaunch shared = launch_of(many, Product::tf32, true);
  EXPECT_EQ(shared.blocks, 234U);  // of three tiles

  const Case wide{"Wide", {1, 40, 40, 64}, 1, separable({{7, 4, 12}}, {64})};
  EXPECT_FALSE(launch_of(wide, Product::tf32, false).fits);
  EXPECT_TRUE(launch_of(wide, Product::bf16, false).fits);
  const Case channels{"Channels", {1, 4, 4, 65}, 1, {{CandidateKind::identity, {}, 65}}};
  EXPECT_FALSE(launch_of(channels, Product::tf32, false).fits);

  // An A100 gives less: gradients of 64 channels' weights need bfloat16 there.
  BackwardState state({"Wide", {1, 8, 8, 64}, 1, all_kinds(64, 1)}, Product::tf32, 1);
  const std::vector<StateGradient> states{state.arguments(true, Write::overwrite)};
  EXPECT_TRUE(state_bundle_backward_launch(1, states, Product::tf32).fits);
  EXPECT_FALSE(state_bundle_backward_launch(1, states, Product::tf32, a100_shared_bytes).fits);
  EXPECT_TRUE(state_bundle_backward_launch(1, states, Product::bf16, a100_shared_bytes).fits);
}

}  // namespace
}  // namespace dnas::kernels::cuda
