#include "ops/state_bundle_backward_launch.hpp"
#include "ops/state_bundle_cuda.hpp"

#include "reference/pool_ref.hpp"
#include "reference/separable_bundle_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/executor.hpp"
#include "simt/margins.hpp"
#include "support/bf16.hpp"
#include "support/tensors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

namespace dnas::kernels::cuda {
namespace {

using simt::DeviceTensor;
using simt::Expected;
using test::Gap;

simt::Margins margins("state_bundle_backward");

// --- tensors --------------------------------------------------------------------------------------------------------

simt::Layout layout_of(DType dtype, const Gap& gap = {}) {
  return {dtype, gap.before, gap.after, 0};
}

/// Uniform in [mean - 1, mean + 1).
DeviceTensor random_tensor(const Shape& shape, std::uint64_t seed, const simt::Layout& layout = {}, float mean = 0.0F) {
  DeviceTensor t = DeviceTensor::random(shape, seed, layout);
  for (std::int64_t i = 0; mean != 0.0F && i < t.size(); ++i)
    t.set(i, t[i] + static_cast<double>(mean));
  return t;
}

/// In place of one that a case does not have.
DeviceTensor no_tensor() {
  return DeviceTensor(Shape{1});
}

// --- cases ----------------------------------------------------------------------------------------------------------

struct TestCandidate {
  CandidateKind kind;
  SeparableWindow window;
  std::int64_t channels;  ///< of its output
};

struct Case {
  const char* name;
  Shape x;
  int stride;
  std::vector<TestCandidate> candidates;
  bool normalised = false;
  Gap x_gap = {};
  Gap y_gap = {};
  float mean = 0.0F;  ///< of x
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name << ' ' << c.x.to_string();
}

std::vector<TestCandidate> separable(const std::vector<SeparableWindow>& windows,
                                     const std::vector<std::int64_t>& channels) {
  std::vector<TestCandidate> candidates;
  for (std::size_t k = 0; k < windows.size(); ++k)
    candidates.push_back({CandidateKind::separable, windows[k], channels[k]});
  return candidates;
}

const std::vector<SeparableWindow> darts{{3, 1, 1}, {5, 1, 2}, {3, 2, 2}, {5, 2, 4}};

std::vector<TestCandidate> darts_of(std::int64_t channels) {
  return separable(darts, {channels, channels, channels, channels});
}

/// What a product does to the result, relative to the sum of the magnitudes of its terms.
double tolerance(Product product) {
  switch (product) {
    case Product::tf32x3:
      return 3e-6;  // 2^-21 of each product, and sums of some hundred terms in f32
    case Product::tf32:
      return 1e-3;  // two operands rounded to 2^-12 relative, 2^-11 each at worst
    case Product::bf16:
      return 1e-2;  // dy, the weights, dd and the result rounded by up to 2^-8 each, which cancel in part
  }
  return 0.0;
}

void expect_near(const DeviceTensor& actual, const Expected& expected, Product product, const char* what) {
  simt::expect_close(actual.doubles(), expected, tolerance(product), product, what, margins);
  EXPECT_TRUE(actual.untouched()) << what;
}

// --- the operation in double precision ------------------------------------------------------------------------------

/// Two 1x1 convolutions with stride 2, the second of the pixels one further down and right.
struct FactorisedReduce {
  Shape x;
  Shape y;

  /// Calls visit(y index, x index, weight index) for the products of which y is the sum.
  template <typename Visit>
  void for_each_product(Visit&& visit) const {
    reference::for_each_element(y, [&](auto n, auto i, auto j, auto o) {
      const std::int64_t second = o < y[3] / 2 ? 0 : 1;
      const std::int64_t row = 2 * i + second;
      const std::int64_t column = 2 * j + second;
      if (row >= x[1] || column >= x[2]) return;
      for (std::int64_t c = 0; c < x[3]; ++c) {
        visit(static_cast<std::size_t>(((n * y[1] + i) * y[2] + j) * y[3] + o),
              static_cast<std::size_t>(((n * x[1] + row) * x[2] + column) * x[3] + c),
              static_cast<std::size_t>(o * x[3] + c));
      }
    });
  }
  [[nodiscard]] std::vector<double> forward(const std::vector<double>& z, const std::vector<double>& weights) const {
    std::vector<double> result(static_cast<std::size_t>(y.elements()));
    for_each_product([&](std::size_t o, std::size_t i, std::size_t w) { result[o] += z[i] * weights[w]; });
    return result;
  }
  [[nodiscard]] reference::SeparableTerm::Gradients backward(const std::vector<double>& z,
                                                             const std::vector<double>& weights,
                                                             const std::vector<double>& dy) const {
    reference::SeparableTerm::Gradients g{{}, std::vector<double>(weights.size()), std::vector<double>(z.size())};
    for_each_product([&](std::size_t o, std::size_t i, std::size_t w) {
      g.weights[w] += z[i] * dy[o];
      g.z[i] += weights[w] * dy[o];
    });
    return g;
  }
};

// --- a state and its candidates -------------------------------------------------------------------------------------

struct CandidateTensors {
  DeviceTensor filter = no_tensor();
  DeviceTensor pointwise = no_tensor();
  DeviceTensor y = no_tensor();
  DeviceTensor g = no_tensor();
  DeviceTensor gradient = no_tensor();
  DeviceTensor dfilter = no_tensor();
  DeviceTensor dpointwise = no_tensor();
};

bool has_weights(CandidateKind kind) {
  return kind == CandidateKind::separable || kind == CandidateKind::factorised_reduce;
}

class State {
 public:
  State(const Case& c, Product product, std::uint64_t seed)
      : c_(c), product_(product), dtype_(product == Product::bf16 ? DType::bf16 : DType::f32) {
    x_ = random_tensor(c.x, seed, layout_of(dtype_, c.x_gap), c.mean);
    if (c.normalised) {
      normalisation_ = random_tensor({2, c.x[3]}, seed + 1);
      for (std::int64_t i = 0; i < c.x[3]; ++i) {
        normalisation_.set(i, c.mean + 0.1F * static_cast<float>(normalisation_[i]));
        normalisation_.set(c.x[3] + i, 1.5F + static_cast<float>(normalisation_[c.x[3] + i]));
      }
      source_gradient_ = DeviceTensor({4, c.x[3]});
    }
    for (std::size_t k = 0; k < c.candidates.size(); ++k) {
      const TestCandidate& candidate = c.candidates[k];
      const Shape y = output_shape(candidate);
      const std::uint64_t s = seed + 10 * (k + 1);
      CandidateTensors t;
      if (candidate.kind == CandidateKind::separable) {
        const Shape filter{candidate.window.kernel, candidate.window.kernel, c.x[3]};
        t.filter = random_tensor(filter, s);
        t.dfilter = DeviceTensor(filter);
      }
      if (has_weights(candidate.kind)) {
        t.pointwise = random_tensor({candidate.channels, c.x[3]}, s + 1);
        t.dpointwise = DeviceTensor({candidate.channels, c.x[3]});
      }
      t.g = random_tensor(y, s + 3, layout_of(dtype_, c.y_gap));
      t.gradient = random_tensor({4, candidate.channels}, s + 4);
      tensors_.push_back(std::move(t));
      const std::vector<double> out = output(k);
      if (has_weights(candidate.kind)) {
        // Any y will do, as long as it is the one the reference sees.
        tensors_[k].y = DeviceTensor(y, layout_of(dtype_, c.y_gap));
        for (std::size_t i = 0; i < out.size(); ++i)
          tensors_[k].y.set(static_cast<std::int64_t>(i), static_cast<float>(out[i]));
      }
    }
  }

  /// What state_bundle_backward is given; `weights`: their gradients are wanted.
  StateGradient arguments(bool weights, Write write) {
    dx_ = DeviceTensor(c_.x, layout_of(dtype_, c_.x_gap));
    if (write == Write::accumulate) {
      for (std::int64_t i = 0; i < dx_.size(); ++i)
        dx_.set(i, 0.25F);
    }
    gradients_.clear();
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      CandidateTensors& t = tensors_[k];
      const CandidateKind kind = c_.candidates[k].kind;
      const bool filter = kind == CandidateKind::separable;
      CandidateGradient g;
      g.candidate = {kind, c_.candidates[k].window, filter ? t.filter.view() : TensorView(),
                     has_weights(kind) ? t.pointwise.view() : TensorView()};
      if (has_weights(kind)) g.y = t.y.view();
      g.g = t.g.view();
      g.gradient = t.gradient.view();
      if (weights && filter) {
        t.dfilter = DeviceTensor(t.filter.shape());
        g.dfilter = t.dfilter.view();
      }
      if (weights && has_weights(kind)) {
        t.dpointwise = DeviceTensor(t.pointwise.shape());
        g.dpointwise = t.dpointwise.view();
      }
      gradients_.push_back(g);
    }
    StateGradient state;
    state.source = {x_.view(), c_.normalised ? normalisation_.view() : TensorView()};
    state.candidates = gradients_;
    state.dx = dx_.view();
    state.write = write;
    if (c_.normalised) {
      source_gradient_ = DeviceTensor({4, c_.x[3]});
      state.normalisation = source_gradient_.view();
    }
    return state;
  }

  void check(bool weights, Write write) {
    const std::vector<double> s = state();
    const std::vector<double> z = rectified(s);
    Expected dx(c_.x.elements());
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      SCOPED_TRACE("candidate " + std::to_string(k));
      CandidateTensors& t = tensors_[k];
      const TestCandidate& candidate = c_.candidates[k];
      const std::vector<double> rows = t.gradient.doubles();
      const std::vector<double> y = has_weights(candidate.kind) ? t.y.doubles() : output(k);
      const Expected dy = simt::formed_gradient(rows, t.g.doubles(), y);
      if (has_weights(candidate.kind)) {
        const auto got = backward(candidate, z, t.filter, t.pointwise, dy.value, false);
        const auto all = backward(candidate, z, t.filter, t.pointwise, dy.magnitude, true);
        for (std::size_t i = 0; i < z.size(); ++i) {
          dx.value[i] += s[i] > 0.0 ? got.z[i] : 0.0;
          dx.magnitude[i] += all.z[i];
        }
        if (weights) {
          if (candidate.kind == CandidateKind::separable)
            expect_near(t.dfilter, {got.filter, all.filter}, product_, "dfilter");
          expect_near(t.dpointwise, {got.weights, all.weights}, product_, "dpointwise");
        }
      } else {
        add(dx.value, pool_backward(candidate, dy.value));
        add(dx.magnitude, pool_backward(candidate, dy.magnitude));
      }
    }
    if (write == Write::accumulate) dx.add(0.25);
    expect_near(dx_, dx, product_, "dx");
    if (c_.normalised) check_normalisation(dx, s);
  }

  [[nodiscard]] std::vector<const DeviceTensor*> results() const {
    std::vector<const DeviceTensor*> all{&dx_, &source_gradient_};
    for (const CandidateTensors& t : tensors_) {
      all.push_back(&t.dfilter);
      all.push_back(&t.dpointwise);
    }
    return all;
  }

  DeviceTensor& x() { return x_; }

 private:
  [[nodiscard]] Shape output_shape(const TestCandidate& candidate) const {
    const auto extent = [&](std::int64_t in) {
      if (candidate.kind == CandidateKind::identity) return in;
      if (candidate.kind == CandidateKind::factorised_reduce) return (in + 1) / 2;
      const int span = (candidate.window.kernel - 1) * candidate.window.dilation + 1;
      return (in + 2 * candidate.window.padding - span) / c_.stride + 1;
    };
    return {c_.x[0], extent(c_.x[1]), extent(c_.x[2]), candidate.channels};
  }

  /// s, for pools as they see it: rounded as it is stored.
  [[nodiscard]] std::vector<double> state(bool rounded = false) const {
    std::vector<double> s = x_.doubles();
    if (!c_.normalised) return s;
    const auto channels = static_cast<std::size_t>(c_.x[3]);
    for (std::size_t i = 0; i < s.size(); ++i) {
      const double mean = normalisation_[static_cast<std::int64_t>(i % channels)];
      const double rstd = normalisation_[static_cast<std::int64_t>(channels + i % channels)];
      if (rounded) {
        const float value = (static_cast<float>(s[i]) - static_cast<float>(mean)) * static_cast<float>(rstd);
        s[i] = dtype_ == DType::bf16 ? test::from_bf16(test::to_bf16(value)) : value;
      } else {
        s[i] = (s[i] - mean) * rstd;
      }
    }
    return s;
  }
  static std::vector<double> rectified(std::vector<double> s) {
    for (double& v : s)
      v = std::max(v, 0.0);
    return s;
  }
  static void add(std::vector<double>& to, const std::vector<double>& values) {
    for (std::size_t i = 0; i < to.size(); ++i)
      to[i] += values[i];
  }

  [[nodiscard]] reference::SeparableTerm separable_term(const TestCandidate& candidate) const {
    const SeparableWindow& w = candidate.window;
    return {{w.kernel, c_.stride, w.dilation, w.padding}, c_.x, candidate.channels};
  }
  [[nodiscard]] Pool pool(const TestCandidate& candidate) const {
    return {candidate.window.kernel, c_.stride, candidate.window.padding};
  }
  [[nodiscard]] std::vector<double> output(std::size_t k) const {
    const TestCandidate& candidate = c_.candidates[k];
    const CandidateTensors& t = tensors_[k];
    switch (candidate.kind) {
      case CandidateKind::separable:
        return separable_term(candidate).forward(rectified(state()), t.filter.doubles(), t.pointwise.doubles());
      case CandidateKind::factorised_reduce:
        return FactorisedReduce{c_.x, output_shape(candidate)}.forward(rectified(state()), t.pointwise.doubles());
      case CandidateKind::max_pool:
        return reference::max_pool_forward(pool(candidate), c_.x, output_shape(candidate), state(true)).y;
      case CandidateKind::avg_pool:
        return reference::avg_pool_forward(pool(candidate), c_.x, output_shape(candidate), state(true));
      case CandidateKind::identity:
        return state();
    }
    return {};
  }
  [[nodiscard]] reference::SeparableTerm::Gradients backward(const TestCandidate& candidate,
                                                             const std::vector<double>& z, const DeviceTensor& filter,
                                                             const DeviceTensor& pointwise,
                                                             const std::vector<double>& dy, bool magnitudes) const {
    const auto values = [&](const DeviceTensor& t) { return magnitudes ? simt::absolute(t.doubles()) : t.doubles(); };
    if (candidate.kind == CandidateKind::factorised_reduce)
      return FactorisedReduce{c_.x, output_shape(candidate)}.backward(z, values(pointwise), dy);
    return separable_term(candidate).backward(z, values(filter), values(pointwise), dy);
  }
  [[nodiscard]] std::vector<double> pool_backward(const TestCandidate& candidate, const std::vector<double>& dy) const {
    const Shape y = output_shape(candidate);
    switch (candidate.kind) {
      case CandidateKind::max_pool:
        return reference::max_pool_backward(reference::max_pool_forward(pool(candidate), c_.x, y, state(true)), c_.x,
                                            dy);
      case CandidateKind::avg_pool:
        return reference::avg_pool_backward(pool(candidate), c_.x, y, dy);
      default:
        return dy;
    }
  }

  /// Batch norm's gradient from the two sums.
  void check_normalisation(const Expected& dx, const std::vector<double>& s) {
    const auto channels = static_cast<std::size_t>(c_.x[3]);
    const double pixels = static_cast<double>(s.size() / channels);
    Expected rows(4 * c_.x[3]);
    for (std::size_t i = 0; i < s.size(); ++i) {
      const std::size_t k = i % channels;
      const double rstd = normalisation_[static_cast<std::int64_t>(channels + k)];
      const double centred = s[i] / rstd;
      rows.value[channels + k] -= rstd * rstd * rstd * dx.value[i] * centred / pixels;
      rows.value[3 * channels + k] -= rstd * dx.value[i] / pixels;
      rows.magnitude[channels + k] += rstd * rstd * rstd * dx.magnitude[i] * std::abs(centred) / pixels;
      rows.magnitude[3 * channels + k] += rstd * dx.magnitude[i] / pixels;
    }
    for (std::size_t k = 0; k < channels; ++k) {
      rows.value[k] = rows.magnitude[k] = normalisation_[static_cast<std::int64_t>(channels + k)];
      rows.value[2 * channels + k] = rows.magnitude[2 * channels + k] = normalisation_[static_cast<std::int64_t>(k)];
    }
    rows.magnitude = simt::absolute(rows.magnitude);
    expect_near(source_gradient_, rows, product_, "normalisation");
  }

  Case c_;
  Product product_;
  DType dtype_;
  DeviceTensor x_ = no_tensor();
  DeviceTensor normalisation_ = no_tensor();
  DeviceTensor source_gradient_ = no_tensor();
  DeviceTensor dx_ = no_tensor();
  std::vector<CandidateTensors> tensors_;
  std::vector<CandidateGradient> gradients_;
};

/// The launch, with NaN in the workspace but for its counters, which are 0 before and after.
void run(int stride, const std::vector<StateGradient>& states, Product product) {
  const StateBundleBackwardLaunch launch = state_bundle_backward_launch(stride, states, product);
  ASSERT_TRUE(launch.fits) << launch.shared << " bytes";
  ASSERT_EQ(launch.workspace, state_bundle_backward_workspace(stride, states));
  std::vector<unsigned> workspace(launch.workspace / sizeof(unsigned), 0xFFFFFFFFU);
  const std::size_t counters = (launch.counters + 31) / 32 * 32;  // whole lines of 128 bytes
  std::fill_n(workspace.begin(), counters, 0U);
  state_bundle_backward(stride, states, product, std::as_writable_bytes(std::span(workspace)), nullptr);
  EXPECT_TRUE(std::all_of(workspace.begin(), workspace.begin() + static_cast<std::ptrdiff_t>(counters),
                          [](unsigned value) { return value == 0; }));
}

class StateBundleBackwardCuda : public testing::TestWithParam<std::tuple<Case, Product>> {
 protected:
  void SetUp() override {
    // One schedule for each case in turn; BitsDoNotDependOnTheSchedule runs all.
    static std::size_t turn = 0;
    simt::set_schedule(simt::all_schedules[turn++ % std::size(simt::all_schedules)]);
  }
};

TEST_P(StateBundleBackwardCuda, OfAnArchitectureStepMatchesLoops) {
  const auto& [c, product] = GetParam();
  State state(c, product, 1);
  run(c.stride, {state.arguments(false, Write::overwrite)}, product);
  state.check(false, Write::overwrite);
}

TEST_P(StateBundleBackwardCuda, OfAWeightStepMatchesLoops) {
  const auto& [c, product] = GetParam();
  State state(c, product, 1);
  run(c.stride, {state.arguments(true, Write::accumulate)}, product);
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
    {"FarFromZero", {4, 8, 8, 16}, 1, darts_of(16), false, {}, {}, 100.0F},
    {"NormalisedFarFromZero", {4, 8, 8, 16}, 1, separable({{5, 1, 2}}, {16}), true, {}, {}, 100.0F},
    {"NormalisedPixels", {70, 2, 3, 16}, 1, separable({{3, 1, 1}}, {16}), true},
    {"NormalisedStrided", {3, 8, 6, 6}, 2, separable({{3, 1, 1}, {5, 1, 2}}, {6, 6}), true},
    {"Normalised40", {2, 8, 8, 40}, 1, separable({{5, 1, 2}}, {40}), true},
};

constexpr SeparableWindow pool3{3, 1, 1};

/// Every kind, as many edges and candidates of an edge would bring them, not in the kernel's order.
std::vector<TestCandidate> all_kinds(std::int64_t channels, int stride) {
  std::vector<TestCandidate> candidates{
      {CandidateKind::max_pool, pool3, channels},      {CandidateKind::avg_pool, pool3, channels},
      {CandidateKind::separable, {3, 1, 1}, channels}, {CandidateKind::separable, {5, 2, 4}, channels},
      {CandidateKind::max_pool, pool3, channels},      {CandidateKind::avg_pool, pool3, channels}};
  const TestCandidate skip{stride == 1 ? CandidateKind::identity : CandidateKind::factorised_reduce, {}, channels};
  candidates.insert(candidates.begin() + 1, skip);
  candidates.push_back(skip);
  return candidates;
}

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

std::string test_name(const testing::TestParamInfo<std::tuple<Case, Product>>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + simt::name_of(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Products, StateBundleBackwardCuda,
                         testing::Combine(testing::ValuesIn(all_products),
                                          testing::Values(Product::tf32x3, Product::tf32, Product::bf16)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Shapes, StateBundleBackwardCuda,
                         testing::Combine(testing::ValuesIn(shapes), testing::Values(Product::tf32x3)), test_name);

INSTANTIATE_TEST_SUITE_P(Kinds, StateBundleBackwardCuda,
                         testing::Combine(testing::ValuesIn(kinds),
                                          testing::Values(Product::tf32x3, Product::tf32, Product::bf16)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(KindsOfShapes, StateBundleBackwardCuda,
                         testing::Combine(testing::ValuesIn(kinds_f32), testing::Values(Product::tf32x3)), test_name);

// For ThreadSanitizer: each step of the pipeline, on several tiles, of a block and of several.
TEST(StateBundleBackwardCudaTiny, EveryKind) {
  simt::set_schedule(simt::Schedule::shuffled);
  for (const int stride : {1, 2}) {
    for (const bool weights : {false, true}) {
      const Product product = stride == 1 ? Product::tf32 : Product::bf16;
      State state({"Tiny", {1, 17 * stride, 5, 8}, stride, all_kinds(8, stride), true}, product, 1);
      run(stride, {state.arguments(weights, Write::accumulate)}, product);
      state.check(weights, Write::accumulate);
    }
  }
}

// The first of equals takes a maximum's gradient, and NaN is greater than everything.
TEST(StateBundleBackwardCudaPools, TiesAndNaN) {
  for (const int stride : {1, 2}) {
    for (const Product product : {Product::tf32x3, Product::bf16}) {
      const Case c{"Ties", {1, 9, 8, 8}, stride, {{CandidateKind::max_pool, pool3, 8}}};
      State state(c, product, 3);
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
      run(stride, {arguments}, product);
      state.check(false, Write::overwrite);
    }
  }
}

// States of one launch differ in everything but their shape.
TEST(StateBundleBackwardCudaStates, OfOneLaunchDoNotMeet) {
  const Case first{"First", {2, 18, 9, 16}, 1, all_kinds(16, 1)};
  const Case second{"Second", {2, 18, 9, 16}, 1, separable({{5, 1, 2}}, {12}), true, {3, 2}};
  const Case third{"Third", {2, 18, 9, 16}, 1, {{CandidateKind::identity, {}, 16}}, true};
  for (const bool weights : {false, true}) {
    State a(first, Product::tf32x3, 1);
    State b(second, Product::tf32x3, 2);
    State c(third, Product::tf32x3, 3);
    run(1,
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
  State all(c, Product::tf32x3, 1);
  run(1, {all.arguments(true, Write::overwrite)}, Product::tf32x3);
  for (std::size_t k = 0; k < 3; ++k) {
    State some(c, Product::tf32x3, 1);
    StateGradient arguments = some.arguments(true, Write::overwrite);
    std::vector<CandidateGradient> candidates(arguments.candidates.begin(), arguments.candidates.end());
    candidates[k].dfilter = {};
    candidates[(k + 1) % 3].dpointwise = {};
    arguments.candidates = candidates;
    run(1, {arguments}, Product::tf32x3);
    const auto expected = all.results();
    const auto actual = some.results();
    for (std::size_t i = 0; i < actual.size(); ++i) {
      if (i == 2 + 2 * k || i == 3 + 2 * ((k + 1) % 3)) continue;
      EXPECT_TRUE(actual[i]->same_bits(*expected[i])) << "result " << i << " without " << k;
    }
  }
}

TEST(StateBundleBackwardCudaSchedules, BitsDoNotDependOnThem) {
  const Case cases[] = {{"Kinds", {3, 9, 18, 16}, 1, all_kinds(16, 1), true},
                        {"KindsStrided", {3, 17, 18, 16}, 2, all_kinds(16, 2), true},
                        {"Blocks", {40, 4, 4, 8}, 1, darts_of(8), true},
                        {"Channels64", {2, 9, 8, 64}, 1, separable({{5, 1, 2}}, {64}), true}};
  for (const Case& c : cases) {
    State first(c, Product::tf32x3, 1);
    simt::set_schedule(simt::Schedule::ascending);
    run(c.stride, {first.arguments(true, Write::overwrite)}, Product::tf32x3);
    for (const simt::Schedule schedule : simt::all_schedules) {
      for (const unsigned workers : {1U, 3U}) {
        simt::set_schedule(schedule);
        simt::set_workers(workers);
        State again(c, Product::tf32x3, 1);
        run(c.stride, {again.arguments(true, Write::overwrite)}, Product::tf32x3);
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
    State state(c, product, 1);
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
}

}  // namespace
}  // namespace dnas::kernels::cuda
