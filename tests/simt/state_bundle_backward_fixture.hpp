#pragma once

#include "ops/state_bundle_backward_launch.hpp"
#include "simt/bundle_fixture.hpp"
#include "simt/state_cases.hpp"
#include "support/bf16.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

// A state with its candidates for the tests of state_bundle_backward, and its gradients in double precision.
namespace dnas::simt {

/// What a product does to a gradient, relative to the sum of the magnitudes of its terms.
[[nodiscard]] inline double gradient_tolerance(Product product) {
  switch (product) {
    case Product::tf32x3:
      return 3e-6;  // 2^-21 of each product, and sums of some hundred terms in f32
    case Product::tf32:
      return 1e-3;  // two operands rounded to 2^-12 relative, 2^-11 each at worst
    case Product::bf16:
      break;
  }
  return 1e-2;  // dy, the weights, dd and the result rounded by up to 2^-9 each
}

/// Of reference::form_gradient(): its parts without signs.
[[nodiscard]] inline std::vector<double> gradient_magnitude(const std::vector<double>& rows,
                                                            const std::vector<double>& g,
                                                            const std::vector<double>& y) {
  const std::size_t c = rows.size() / 4;
  std::vector<double> sum(g.size());
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::size_t k = i % c;
    sum[i] = std::abs(rows[k] * g[i]) + std::abs(rows[c + k] * (y[i] - rows[2 * c + k])) + std::abs(rows[3 * c + k]);
  }
  return sum;
}

/// Gradients of the two 1x1 convolutions with stride 2 of a factorised reduce.
[[nodiscard]] inline reference::SeparableTerm::Gradients factorised_reduce_backward(const Shape& x, const Shape& y,
                                                                                    const std::vector<double>& z,
                                                                                    const std::vector<double>& weights,
                                                                                    const std::vector<double>& dy) {
  reference::SeparableTerm::Gradients g{{}, std::vector<double>(weights.size()), std::vector<double>(z.size())};
  reference::for_each_element(y, [&](auto n, auto i, auto j, auto o) {
    const std::int64_t shift = o < y[3] / 2 ? 0 : 1;
    const std::int64_t row = 2 * i + shift;
    const std::int64_t column = 2 * j + shift;
    const double gradient = dy[static_cast<std::size_t>(((n * y[1] + i) * y[2] + j) * y[3] + o)];
    for (std::int64_t c = 0; c < x[3] && row < x[1] && column < x[2]; ++c) {
      const auto in = static_cast<std::size_t>(((n * x[1] + row) * x[2] + column) * x[3] + c);
      const auto w = static_cast<std::size_t>(o * x[3] + c);
      g.weights[w] += z[in] * gradient;
      g.z[in] += weights[w] * gradient;
    }
  });
  return g;
}

class BackwardState {
 public:
  BackwardState(const StateCase& c, Product product, std::uint64_t seed, Values values = Values::uniform)
      : c_(c),
        product_(product),
        exact_(values == Values::signs),
        f32_({.offset = c.offset}),
        x_(exact_ ? random_signs(c.x, seed, layout_of(product, c.x_gap, c.offset))
                  : random_about(c.mean, c.x, seed, layout_of(product, c.x_gap, c.offset))),
        dx_(c.x, layout_of(product, c.x_gap, c.offset)) {
    if (c.normalised) normalisation_ = random_normalisation(c.mean, c.x[3], seed + 1, c.offset);
    const Layout stored = layout_of(product, c.y_gap, c.offset);
    for (std::size_t k = 0; k < c.candidates.size(); ++k) {
      const auto& [kind, window, channels] = c.candidates[k];
      const std::uint64_t s = seed + 10 * (k + 1);
      const Shape y = output_shape(kind, window, c.stride, c.x, channels);
      CandidateTensors t{
          {}, {}, {}, random_values(values, y, s + 3, stored), random_values(values, {4, channels}, s + 4, f32_),
          {}, {}};
      for (std::int64_t i = 0; exact_ && i < 2 * channels; ++i)
        t.gradient.set(channels + i, 0.0);  // nothing of y, which is not exact
      if (kind == CandidateKind::separable)
        t.filter = random_values(values, {window.kernel, window.kernel, c.x[3]}, s, f32_);
      if (has_weights(kind)) {
        t.pointwise = random_values(values, {channels, c.x[3]}, s + 1, f32_);
        // Any y will do, as long as it is the one the reference sees.
        t.y.emplace(y, stored);
        const std::vector<double> out = output(c.candidates[k], t);
        for (std::size_t i = 0; i < out.size(); ++i)
          t.y->set(static_cast<std::int64_t>(i), out[i]);
      }
      tensors_.push_back(std::move(t));
    }
  }

  /// What state_bundle_backward is given; `weights`: their gradients are wanted. Valid until the next call.
  kernels::cuda::StateGradient arguments(bool weights, Write write) {
    const Layout stored = layout_of(product_, c_.x_gap, c_.offset);
    dx_ = write == Write::accumulate ? DeviceTensor::filled(c_.x, before, stored) : DeviceTensor(c_.x, stored);
    gradients_.clear();
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      CandidateTensors& t = tensors_[k];
      t.dfilter.reset();
      t.dpointwise.reset();
      if (weights && t.filter) t.dfilter.emplace(t.filter->shape(), f32_);
      if (weights && t.pointwise) t.dpointwise.emplace(t.pointwise->shape(), f32_);
      gradients_.push_back({{c_.candidates[k].kind, c_.candidates[k].window, view_of(t.filter), view_of(t.pointwise)},
                            view_of(t.y),
                            t.g.view(),
                            t.gradient.view(),
                            view_of(t.dfilter),
                            view_of(t.dpointwise)});
    }
    if (c_.normalised) source_gradient_.emplace(Shape{4, c_.x[3]}, f32_);
    return {{x_.view(), view_of(normalisation_)}, gradients_, dx_.view(), write, view_of(source_gradient_)};
  }

  /// What was written after arguments(weights, write).
  void check(bool weights, Write write) const {
    const std::vector<double> s = state_of(x_, normalisation_);
    std::vector<double> z = s;
    for (double& v : z)
      v = std::max(v, 0.0);
    const double start = write == Write::accumulate ? before : 0.0;
    Expected dx{std::vector<double>(s.size(), start), std::vector<double>(s.size(), start)};
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      SCOPED_TRACE("candidate " + std::to_string(k));
      const CandidateTensors& t = tensors_[k];
      const StateCandidate& candidate = c_.candidates[k];
      const std::vector<double> rows = t.gradient.doubles();
      const std::vector<double> y = t.y ? t.y->doubles() : output(candidate, t);
      const std::vector<double> dy = reference::form_gradient(rows, t.g.doubles(), y);
      const std::vector<double> size = gradient_magnitude(rows, t.g.doubles(), y);
      if (has_weights(candidate.kind)) {
        const std::vector<double> filter = doubles_of(t.filter);
        const std::vector<double> pointwise = doubles_of(t.pointwise);
        const auto got = backward(candidate, z, filter, pointwise, dy);
        const auto all = backward(candidate, z, absolute(filter), absolute(pointwise), size);
        for (std::size_t i = 0; i < z.size(); ++i) {
          dx.value[i] += s[i] > 0.0 ? got.z[i] : 0.0;
          dx.magnitude[i] += all.z[i];
        }
        if (weights && t.filter) expect_near(*t.dfilter, {got.filter, all.filter}, "dfilter");
        if (weights) expect_near(*t.dpointwise, {got.weights, all.weights}, "dpointwise");
      } else {
        add(dx.value, pool_backward(candidate, dy));
        add(dx.magnitude, pool_backward(candidate, size));
      }
    }
    expect_near(dx_, dx, "dx");
    if (c_.normalised) check_normalisation(dx, s);
  }

  /// Everything that was written.
  [[nodiscard]] std::vector<const DeviceTensor*> results() const {
    std::vector<const DeviceTensor*> all{&dx_};
    if (source_gradient_) all.push_back(&*source_gradient_);
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      for (const DeviceTensor* const each : {dfilter(k), dpointwise(k)}) {
        if (each != nullptr) all.push_back(each);
      }
    }
    return all;
  }
  [[nodiscard]] const DeviceTensor* dfilter(std::size_t k) const { return pointer_to(tensors_[k].dfilter); }
  [[nodiscard]] const DeviceTensor* dpointwise(std::size_t k) const { return pointer_to(tensors_[k].dpointwise); }
  [[nodiscard]] const DeviceTensor& dx() const { return dx_; }
  DeviceTensor& x() { return x_; }

 private:
  struct CandidateTensors {
    MaybeTensor filter, pointwise, y;
    DeviceTensor g, gradient;
    MaybeTensor dfilter, dpointwise;
  };

  static constexpr double before = 0.25;  // in dx, where it is added to

  static bool has_weights(CandidateKind kind) {
    return kind == CandidateKind::separable || kind == CandidateKind::factorised_reduce;
  }
  static const DeviceTensor* pointer_to(const MaybeTensor& t) { return t ? &*t : nullptr; }
  static void add(std::vector<double>& to, const std::vector<double>& values) {
    for (std::size_t i = 0; i < to.size(); ++i)
      to[i] += values[i];
  }

  /// s as pools see it: rounded as it is stored, since that decides what the largest is.
  [[nodiscard]] std::vector<double> stored_state() const {
    std::vector<double> s = x_.doubles();
    const std::vector<double> rows = doubles_of(normalisation_);
    const auto channels = static_cast<std::size_t>(c_.x[3]);
    for (std::size_t i = 0; i < s.size() && normalisation_; ++i) {
      const auto mean = static_cast<float>(rows[i % channels]);
      const auto rstd = static_cast<float>(rows[channels + i % channels]);
      const float value = (static_cast<float>(s[i]) - mean) * rstd;
      s[i] = product_ == Product::bf16 ? test::from_bf16(test::to_bf16(value)) : value;
    }
    return s;
  }
  [[nodiscard]] std::vector<double> output(const StateCandidate& candidate, const CandidateTensors& t) const {
    const bool pool = candidate.kind == CandidateKind::max_pool || candidate.kind == CandidateKind::avg_pool;
    return candidate_output(candidate.kind, candidate.window, c_.stride, c_.x,
                            pool ? stored_state() : state_of(x_, normalisation_), doubles_of(t.filter),
                            doubles_of(t.pointwise))
        .value;
  }
  [[nodiscard]] reference::SeparableTerm::Gradients backward(const StateCandidate& candidate,
                                                             const std::vector<double>& z,
                                                             const std::vector<double>& filter,
                                                             const std::vector<double>& pointwise,
                                                             const std::vector<double>& dy) const {
    const auto& [kind, w, channels] = candidate;
    if (kind == CandidateKind::factorised_reduce)
      return factorised_reduce_backward(c_.x, output_shape(kind, w, c_.stride, c_.x, channels), z, pointwise, dy);
    return reference::SeparableTerm({w.kernel, c_.stride, w.dilation, w.padding}, c_.x, channels)
        .backward(z, filter, pointwise, dy);
  }
  [[nodiscard]] std::vector<double> pool_backward(const StateCandidate& candidate,
                                                  const std::vector<double>& dy) const {
    const kernels::Pool pool{candidate.window.kernel, c_.stride, candidate.window.padding};
    switch (candidate.kind) {
      case CandidateKind::max_pool: {
        const auto forward = reference::max_pool_forward(pool, c_.x, pool.output_shape(c_.x), stored_state());
        return reference::max_pool_backward(forward, c_.x, dy);
      }
      case CandidateKind::avg_pool:
        return reference::avg_pool_backward(pool, c_.x, pool.output_shape(c_.x), dy);
      default:
        return dy;
    }
  }

  /// Batch norm's gradient from the two sums.
  void check_normalisation(const Expected& dx, const std::vector<double>& s) const {
    const auto channels = static_cast<std::size_t>(c_.x[3]);
    const auto pixels = static_cast<double>(s.size() / channels);
    const std::vector<double> normalisation = normalisation_->doubles();
    Expected rows{std::vector<double>(4 * channels), std::vector<double>(4 * channels)};
    for (std::size_t i = 0; i < s.size(); ++i) {
      const std::size_t k = i % channels;
      const double rstd = normalisation[channels + k];
      const double centred = s[i] / rstd;
      rows.value[channels + k] -= rstd * rstd * rstd * dx.value[i] * centred / pixels;
      rows.value[3 * channels + k] -= rstd * dx.value[i] / pixels;
      rows.magnitude[channels + k] += rstd * rstd * rstd * dx.magnitude[i] * std::abs(centred) / pixels;
      rows.magnitude[3 * channels + k] += rstd * dx.magnitude[i] / pixels;
    }
    for (std::size_t k = 0; k < channels; ++k) {
      rows.value[k] = normalisation[channels + k];
      rows.value[2 * channels + k] = normalisation[k];
      for (const std::size_t row : {k, 2 * channels + k})
        rows.magnitude[row] = std::abs(rows.value[row]);
    }
    expect_near(*source_gradient_, rows, "normalisation");
  }

  void expect_near(const DeviceTensor& actual, Expected expected, const char* what) const {
    double tolerance = gradient_tolerance(product_);
    if (exact_) {  // but for the rounding of what is stored
      expected.magnitude = absolute(expected.value);
      tolerance = actual.view().dtype == DType::bf16 ? rounding(DType::bf16) : 0.0;
    }
    expect_close(actual.doubles(), expected, tolerance, product_, what, margins());
    EXPECT_TRUE(actual.untouched()) << what;
  }
  static Margins& margins() {
    static Margins all("state_bundle_backward");
    return all;
  }

  StateCase c_;
  Product product_;
  bool exact_;
  Layout f32_;
  DeviceTensor x_;
  DeviceTensor dx_;
  MaybeTensor normalisation_;
  MaybeTensor source_gradient_;
  std::vector<CandidateTensors> tensors_;
  std::vector<kernels::cuda::CandidateGradient> gradients_;
};

/// The launch, with NaN in the workspace but for its counters, which are 0 before and after.
inline void run_backward(int stride, const std::vector<kernels::cuda::StateGradient>& states, Product product) {
  const auto launch = kernels::cuda::state_bundle_backward_launch(stride, states, product);
  ASSERT_TRUE(launch.fits) << launch.shared << " bytes";
  ASSERT_EQ(launch.workspace, kernels::cuda::state_bundle_backward_workspace(stride, states));
  DeviceScratch scratch(launch.workspace, static_cast<std::size_t>(launch.counters));
  kernels::cuda::state_bundle_backward(stride, states, product, scratch.span(), nullptr);
  EXPECT_TRUE(scratch.counters_are_zero() && scratch.untouched());
}

}  // namespace dnas::simt
