#include "ops/state_bundle_cuda.hpp"

#include "simt/bundle_fixture.hpp"
#include "simt/executor.hpp"
#include "simt/state_cases.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <tuple>

namespace dnas::kernels::cuda {
namespace {

using simt::DeviceTensor;
using simt::Expected;
using simt::MaybeTensor;
using Case = simt::StateCase;
using TestCandidate = simt::StateCandidate;

simt::Margins margins("state_bundle_forward");

// --- cases ----------------------------------------------------------------------------------------------------------

TestCandidate sep(int kernel, int dilation, std::int64_t channels) {
  return {CandidateKind::separable, {kernel, dilation, (kernel - 1) / 2 * dilation}, channels};
}
TestCandidate pool(CandidateKind kind, int kernel, std::int64_t channels) {
  return {kind, {kernel, 1, (kernel - 1) / 2}, channels};
}

/// What a DARTS state is asked for, and a window that no unrolled loop is made for.
std::vector<TestCandidate> all_kinds(std::int64_t channels, int stride) {
  std::vector<TestCandidate> all{pool(CandidateKind::max_pool, 3, channels),
                                 sep(3, 1, channels),
                                 sep(5, 1, channels),
                                 pool(CandidateKind::avg_pool, 3, channels),
                                 sep(3, 2, channels),
                                 sep(5, 2, channels),
                                 sep(7, 1, channels)};
  if (stride == 2) all.push_back({CandidateKind::factorised_reduce, {}, channels});
  if (stride == 1) all.push_back({CandidateKind::identity, {}, channels});
  return all;
}

// The mean: f32 sums of 32 values or fewer, merged over warps in f32 and over tiles in f64. The variance: squares about
// a mean near the values, twice that many roundings; and the means of warps and tiles, rounded by 2^-24 |mean|, move it
// by twice that times how far these means lie apart, a fraction of the deviation.
constexpr simt::StatisticsTolerance statistics_tolerance{3e-7, 1e-6};

// --- a state and its candidates -------------------------------------------------------------------------------------

class State {
 public:
  State(const Case& c, Product product, std::uint64_t seed = 1, simt::Values values = simt::Values::uniform)
      : c_(c),
        product_(product),
        exact_(values == simt::Values::signs),
        x_(exact_ ? simt::random_signs(c.x, seed, simt::layout_of(product, c.x_gap, c.offset))
                  : simt::random_about(c.mean, c.x, seed, simt::layout_of(product, c.x_gap, c.offset))) {
    if (c.normalised) normalisation_ = simt::random_normalisation(c.mean, c.x[3], seed + 1, c.offset);
    const simt::Layout f32{.offset = c.offset};
    for (std::size_t k = 0; k < c.candidates.size(); ++k) {
      const auto& [kind, window, channels] = c.candidates[k];
      const std::uint64_t s = seed + 10 * (k + 1);
      MaybeTensor filter;
      MaybeTensor pointwise;
      if (kind == CandidateKind::separable) {
        filter = simt::random_values(values, {window.kernel, window.kernel, c.x[3]}, s, f32);
      }
      if (kind == CandidateKind::separable || kind == CandidateKind::factorised_reduce) {
        pointwise = simt::random_values(values, {channels, c.x[3]}, s + 1, f32);
      }
      tensors_.push_back({std::move(filter), std::move(pointwise),
                          DeviceTensor(simt::output_shape(kind, window, c.stride, c.x, channels),
                                       simt::layout_of(product, c.y_gap, c.offset)),
                          DeviceTensor({2, channels}, f32), DeviceTensor::filled({channels}, 0.5),
                          DeviceTensor::filled({channels}, 2.0)});
    }
  }

  /// What the launch is given; valid until the next call. Outputs `stored` or not, with `statistics` or without.
  StateBundle arguments(bool stored = true, bool statistics = true) {
    candidates_.clear();
    outputs_.clear();
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      Tensors& t = tensors_[k];
      candidates_.push_back({c_.candidates[k].kind, c_.candidates[k].window, view_of(t.filter), view_of(t.pointwise)});
      CandidateOutput out;
      if (stored) out.y = t.y.view();
      if (statistics) out = {out.y, t.normalisation.view(), {t.running_mean.view(), t.running_var.view()}};
      outputs_.push_back(out);
    }
    return {{x_.view(), view_of(normalisation_)}, candidates_, outputs_};
  }

  /// What was written after arguments(true, true).
  void check() const {
    check_outputs();
    for (const Tensors& t : tensors_) {
      simt::expect_statistics({t.normalisation, t.running_mean, t.running_var}, t.y.doubles(), statistics_tolerance,
                              product_, margins);
    }
  }
  void check_outputs() const {
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      const Tensors& t = tensors_[k];
      const TestCandidate& c = c_.candidates[k];
      const std::string kind = kind_name(c.kind);
      Expected expected = simt::candidate_output(c.kind, c.window, c_.stride, c_.x, simt::state_of(x_, normalisation_),
                                                 doubles_of(t.filter), doubles_of(t.pointwise));
      double tolerance = simt::output_tolerance(product_);
      if (exact_) {  // but for the rounding of what is stored
        expected.magnitude = simt::absolute(expected.value);
        tolerance = product_ == Product::bf16 ? simt::rounding(DType::bf16) : 0.0;
      }
      simt::expect_close(t.y.doubles(), expected, tolerance, product_, "y of " + kind, margins);
      EXPECT_TRUE(t.y.untouched()) << kind << ' ' << k;
    }
  }

  /// Everything that was written.
  [[nodiscard]] std::vector<const DeviceTensor*> results(bool stored = true) const {
    std::vector<const DeviceTensor*> all;
    for (const Tensors& t : tensors_) {
      if (stored) all.push_back(&t.y);
      all.insert(all.end(), {&t.normalisation, &t.running_mean, &t.running_var});
    }
    return all;
  }
  DeviceTensor& x() { return x_; }
  [[nodiscard]] const DeviceTensor& y(std::size_t k) const { return tensors_[k].y; }

 private:
  struct Tensors {
    MaybeTensor filter;
    MaybeTensor pointwise;
    DeviceTensor y;
    DeviceTensor normalisation;
    DeviceTensor running_mean;
    DeviceTensor running_var;
  };

  static std::string kind_name(CandidateKind kind) {
    const char* const names[] = {"separable", "max_pool", "avg_pool", "identity", "factorised_reduce"};
    return names[static_cast<std::size_t>(kind)];
  }

  Case c_;
  Product product_;
  bool exact_;
  DeviceTensor x_;
  MaybeTensor normalisation_;
  std::deque<Tensors> tensors_;
  std::vector<Candidate> candidates_;
  std::vector<CandidateOutput> outputs_;
};

void run(int stride, const std::vector<StateBundle>& states, Product product) {
  const TileLaunch shape = state_bundle_forward_shape(stride, states, product);
  simt::DeviceScratch scratch(state_bundle_forward_workspace(stride, states), static_cast<std::size_t>(shape.counters));
  state_bundle_forward({}, stride, states, product, scratch.span(), nullptr);
  EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
}

// --- tests ----------------------------------------------------------------------------------------------------------

class StateBundleForwardCuda : public testing::TestWithParam<std::tuple<Case, Product, simt::Schedule>> {
 protected:
  void SetUp() override { simt::set_schedule(std::get<2>(GetParam())); }
  const Case& c = std::get<0>(GetParam());
  Product product = std::get<1>(GetParam());
};

TEST_P(StateBundleForwardCuda, MatchesLoops) {
  State state(c, product);
  run(c.stride, {state.arguments()}, product);
  state.check();
}

const Case all_products[] = {
    {"Channels16", {2, 17, 20, 16}, 1, all_kinds(16, 1)},  // ragged tiles in both directions
    {"Channels16Strided", {2, 33, 35, 16}, 2, all_kinds(16, 2)},
    {"Channels32", {2, 9, 18, 32}, 1, all_kinds(32, 1), true},
    {"Channels64", {2, 9, 7, 64}, 1, all_kinds(64, 1)},
    {"Channels64Strided", {1, 17, 18, 64}, 2, all_kinds(64, 2), true},
    {"MeanOf100Deviations",
     {3, 9, 17, 12},
     1,
     {{CandidateKind::separable, {1, 1, 0}, 12},
      pool(CandidateKind::avg_pool, 3, 12),
      pool(CandidateKind::max_pool, 3, 12),
      {CandidateKind::identity, {}, 12}},
     false,
     {},
     {},
     0,
     60.0F},
};

const Case shapes[] = {
    {"Ragged5", {3, 9, 7, 5}, 1, all_kinds(5, 1), true, {1, 2}, {2, 1}},
    {"Ragged5Strided", {3, 9, 7, 5}, 2, all_kinds(5, 2), true, {1, 2}, {2, 1}},
    {"Ragged12", {2, 17, 5, 12}, 1, all_kinds(12, 1)},
    {"Ragged20", {2, 17, 5, 20}, 2, all_kinds(20, 2), true},
    {"Ragged36", {2, 9, 7, 36}, 1, all_kinds(36, 1)},
    {"Slices", {2, 9, 7, 8}, 1, all_kinds(8, 1), false, {8, 16}, {4, 12}},
    {"Misaligned", {2, 9, 7, 8}, 1, all_kinds(8, 1), true, {}, {}, 1},
    {"MisalignedPairs", {2, 9, 7, 8}, 2, all_kinds(8, 2), false, {}, {}, 2},
    {"MoreOut", {2, 7, 6, 12}, 1, {sep(3, 1, 40), sep(5, 1, 7), pool(CandidateKind::max_pool, 3, 12)}},
    {"Sampled", {2, 18, 17, 16}, 1, {sep(5, 2, 16)}},
    {"OnePixel", {1, 1, 1, 16}, 1, all_kinds(16, 1)},
    {"ManyTiles", {25, 17, 2, 8}, 1, {sep(3, 1, 8), pool(CandidateKind::avg_pool, 3, 8)}, false, {}, {}, 0, 20.0F},
    {"NormalisedFarFrom0", {2, 9, 8, 16}, 1, all_kinds(16, 1), true, {}, {}, 0, 100.0F},
    {"OtherWindows",
     {2, 12, 11, 8},
     1,
     {{CandidateKind::separable, {2, 3, 1}, 8},
      {CandidateKind::max_pool, {2, 1, 0}, 8},
      {CandidateKind::avg_pool, {2, 1, 0}, 8},
      {CandidateKind::separable, {4, 1, 1}, 8}}},
    {"OtherWindowsStrided",
     {2, 12, 11, 8},
     2,
     {{CandidateKind::separable, {5, 3, 6}, 8},
      pool(CandidateKind::max_pool, 5, 8),
      pool(CandidateKind::avg_pool, 5, 8)}},
};

std::string test_name(const testing::TestParamInfo<std::tuple<Case, Product, simt::Schedule>>& info) {
  return std::string(std::get<0>(info.param).name) + '_' + simt::name_of(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Products, StateBundleForwardCuda,
                         testing::Combine(testing::ValuesIn(all_products),
                                          testing::Values(Product::tf32x3, Product::tf32, Product::bf16),
                                          testing::Values(simt::Schedule::shuffled)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Shapes, StateBundleForwardCuda,
                         testing::Combine(testing::ValuesIn(shapes), testing::Values(Product::tf32x3, Product::bf16),
                                          testing::Values(simt::Schedule::by_warp)),
                         test_name);

// Of signs every product and sum is exact: a term that is missing or comes twice shows in bf16 as in f32.
TEST(StateBundleForwardCudaSigns, AreExactInEveryFormat) {
  for (const int stride : {1, 2}) {
    for (const std::int64_t channels : {16, 32, 64}) {
      std::vector<TestCandidate> candidates{sep(3, 1, channels), sep(5, 1, channels), sep(3, 2, channels),
                                            sep(5, 2, channels), pool(CandidateKind::max_pool, 3, channels)};
      if (stride == 2) candidates.push_back({CandidateKind::factorised_reduce, {}, channels});
      for (const Product product : {Product::tf32x3, Product::tf32, Product::bf16}) {
        State state({"Signs", {1, 9 * stride, 10 * stride, channels}, stride, candidates}, product, 1,
                    simt::Values::signs);
        run(stride, {state.arguments()}, product);
        state.check();
      }
    }
  }
}

// Padding never wins, the first of equals does, and NaN wins over everything; of a normalised state too.
TEST(StateBundleForwardCudaPools, NaNAndInfinity) {
  for (const int stride : {1, 2}) {
    for (const Product product : {Product::tf32x3, Product::bf16}) {
      const Case c{
          "NaN", {1, 9, 8, 8}, stride, {pool(CandidateKind::max_pool, 3, 8), pool(CandidateKind::max_pool, 5, 8)}};
      State state(c, product);
      for (std::int64_t i = 0; i < state.x().size(); ++i) {
        const std::int64_t pixel = i / 8;
        state.x().set(i, -1.0F - static_cast<float>(pixel % 5));  // below the padding's 0
        if (i % 8 == 5 && pixel % 7 == 3) state.x().set(i, std::numeric_limits<float>::quiet_NaN());
        if (i % 8 == 6) state.x().set(i, -std::numeric_limits<float>::infinity());
      }
      run(stride, {state.arguments(true, false)}, product);
      for (std::size_t k = 0; k < 2; ++k) {
        const auto expected = simt::candidate_output(CandidateKind::max_pool, c.candidates[k].window, stride, c.x,
                                                     state.x().doubles(), {}, {});
        simt::expect_close(state.y(k).doubles(), expected, 0.0, product, "pools of NaN", margins);
      }
    }
  }
}

// A state that diverged is not rectified to 0.
TEST(StateBundleForwardCudaRelu, KeepsNaN) {
  for (const int stride : {1, 2}) {
    for (const Product product : {Product::tf32x3, Product::bf16}) {
      Case c{"NaN", {1, 9, 8, 8}, stride, {sep(3, 1, 8), sep(5, 2, 8), sep(7, 1, 8)}};
      if (stride == 2) c.candidates.push_back({CandidateKind::factorised_reduce, {}, 8});
      State state(c, product);
      state.x().set((4 * 8 + 4) * 8 + 5, std::numeric_limits<float>::quiet_NaN());
      run(stride, {state.arguments(true, false)}, product);
      state.check_outputs();
    }
  }
}

TEST(StateBundleForwardCudaStates, OfOneLaunchDoNotMeet) {
  const Case first{"First", {2, 18, 9, 16}, 1, all_kinds(16, 1)};
  const Case second{"Second", {2, 18, 9, 16}, 1, {sep(5, 1, 12)}, true, {3, 2}};
  const Case third{"Third", {2, 18, 9, 5}, 1, {pool(CandidateKind::avg_pool, 3, 5), sep(3, 1, 20)}, true};
  State a(first, Product::tf32x3, 1);
  State b(second, Product::tf32x3, 2);
  State c(third, Product::tf32x3, 3);
  run(1, {a.arguments(), b.arguments(), c.arguments()}, Product::tf32x3);
  a.check();
  b.check();
  c.check();
}

TEST(StateBundleForwardCudaStates, StatisticsDoNotNeedTheOutputStored) {
  for (const int stride : {1, 2}) {
    for (const Product product : {Product::tf32x3, Product::bf16}) {
      const Case c{"Unstored", {2, 17, 9, 12}, stride, all_kinds(12, stride), true};
      State stored(c, product);
      State unstored(c, product);
      run(stride, {stored.arguments()}, product);
      run(stride, {unstored.arguments(false)}, product);
      const auto expected = stored.results(false);
      const auto actual = unstored.results(false);
      for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(actual[i]->same_bits(*expected[i])) << "result " << i;
      for (std::size_t k = 0; k < c.candidates.size(); ++k)
        EXPECT_TRUE(std::isnan(unstored.y(k)[0])) << "output " << k << " was written";
    }
  }
}

// For ThreadSanitizer: each step of the pipeline, on several tiles.
TEST(StateBundleForwardCudaTiny, EveryKind) {
  for (const int stride : {1, 2}) {
    const Case c{"Tiny", {1, 17 * stride, 5, 8}, stride, all_kinds(8, stride), true};
    State state(c, stride == 1 ? Product::tf32 : Product::bf16);
    run(stride, {state.arguments()}, stride == 1 ? Product::tf32 : Product::bf16);
    state.check();
  }
}

// An identity without an output, and nothing else.
TEST(StateBundleForwardCudaStates, MayWantNothing) {
  const Case c{"Nothing", {2, 5, 5, 8}, 1, {{CandidateKind::identity, {}, 8}}};
  State state(c, Product::tf32);
  const std::vector<StateBundle> states{state.arguments(false, false)};
  EXPECT_EQ(state_bundle_forward_workspace(1, states), 0U);
  state_bundle_forward({}, 1, states, Product::tf32, {}, nullptr);
  EXPECT_TRUE(std::isnan(state.y(0)[0]));
}

TEST(StateBundleForwardCudaSchedules, BitsDoNotDependOnThem) {
  const Case cases[] = {{"Kinds", {2, 9, 18, 16}, 1, all_kinds(16, 1), true},
                        {"KindsStrided", {2, 17, 18, 32}, 2, all_kinds(32, 2), true}};
  for (const Case& c : cases) {
    for (const Product product : {Product::tf32, Product::bf16}) {
      State first(c, product);
      simt::set_schedule(simt::Schedule::ascending);
      run(c.stride, {first.arguments()}, product);
      for (const simt::Schedule schedule : simt::all_schedules) {
        simt::set_schedule(schedule);
        State again(c, product);
        run(c.stride, {again.arguments()}, product);
        const auto expected = first.results();
        const auto actual = again.results();
        for (std::size_t i = 0; i < actual.size(); ++i)
          EXPECT_TRUE(actual[i]->same_bits(*expected[i])) << c << ", result " << i;
      }
    }
  }
}

TEST(StateBundleForwardCudaLaunch, HasAboutTwoBlocksPerMultiprocessor) {
  const auto shape_of = [](const Shape& x, int stride, std::size_t states) {
    std::vector<TestCandidate> candidates = all_kinds(x[3], stride);
    std::erase_if(candidates, [](const TestCandidate& c) { return c.window.kernel == 7; });
    State state({"Canonical", x, stride, candidates}, Product::tf32);
    const std::vector<StateBundle> all(states, state.arguments());
    return state_bundle_forward_shape(stride, all, Product::tf32);
  };
  // States of the canonical supernet, with fewer and larger images in the first.
  const TileLaunch wide = shape_of({17, 64, 64, 16}, 1, 2);
  EXPECT_EQ(wide.channels, 16);
  EXPECT_EQ(wide.tiles, 17 * 16);
  EXPECT_EQ(wide.groups, 2);
  EXPECT_LE(wide.shared_bytes, 75U * 1024);  // three per multiprocessor
  const TileLaunch deep = shape_of({64, 8, 8, 64}, 1, 1);
  EXPECT_EQ(deep.channels, 64);
  EXPECT_EQ(deep.tiles, 64);
  EXPECT_EQ(deep.groups, 4);                  // of one or two candidates
  EXPECT_LE(deep.shared_bytes, 113U * 1024);  // two
  const TileLaunch reduction = shape_of({64, 16, 16, 32}, 2, 2);
  EXPECT_EQ(reduction.channels, 32);
  EXPECT_EQ(reduction.tiles, 64);
  EXPECT_EQ(reduction.groups, 4);  // a factorised reduce counts as two
}

TEST(StateBundleForwardCudaLaunch, KnowsWhichTilesFit) {
  const std::vector<SeparableWindow> usual{{3, 1, 1}, {5, 2, 4}, {7, 1, 3}};
  const std::vector<SeparableWindow> widest{{7, 4, 12}};
  for (const Product product : {Product::tf32x3, Product::tf32, Product::bf16}) {
    for (const int stride : {1, 2}) {
      for (const std::int64_t channels : {1, 16, 20, 64})
        EXPECT_TRUE(tile_fits(stride, usual, channels, product)) << stride << ' ' << channels;
      EXPECT_FALSE(tile_fits(stride, usual, 65, product));
    }
  }
  EXPECT_TRUE(tile_fits(1, widest, 16, Product::tf32));
  EXPECT_FALSE(tile_fits(1, widest, 64, Product::tf32));
  EXPECT_TRUE(tile_fits(1, widest, 64, Product::bf16));
  // An A100 gives less: reduction cells with 64 channels need bfloat16 there.
  EXPECT_TRUE(tile_fits(2, usual, 64, Product::tf32));
  EXPECT_FALSE(tile_fits(2, usual, 64, Product::tf32, a100_shared_bytes));
  EXPECT_TRUE(tile_fits(2, usual, 64, Product::bf16, a100_shared_bytes));
}

}  // namespace
}  // namespace dnas::kernels::cuda
