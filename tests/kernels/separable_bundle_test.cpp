#include "dnas/kernels/separable_bundle.hpp"

#include "dnas/kernels/error.hpp"
#include "reference/separable_bundle_ref.hpp"
#include "support/tensors.hpp"
#include "support/throws.hpp"
#include "support/workspace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::max_relative_error;
using test::Tensor;

// f32 sums of up to some thousand terms, relative to the tensor's root mean square.
constexpr double tolerance = 2e-5;

struct Case {
  Shape x;
  int stride;
  std::vector<SeparableWindow> windows;
  std::vector<std::int64_t> channels;
  bool normalised = false;
  Gap x_gap = {};
  Gap y_gap = {};
  float mean = 0.0F;  ///< of x
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  out << c.x.to_string() << " stride " << c.stride << (c.normalised ? " normalised" : "") << " mean " << c.mean
      << " gaps " << c.x_gap.before << '+' << c.x_gap.after << ' ' << c.y_gap.before << '+' << c.y_gap.after;
  for (std::size_t k = 0; k < c.windows.size(); ++k) {
    out << " | k" << c.windows[k].kernel << " d" << c.windows[k].dilation << " p" << c.windows[k].padding << " -> "
        << c.channels[k];
  }
  return out;
}

/// A term's tensors, forward and backward.
struct TermTensors {
  Tensor filter;
  Tensor pointwise;
  Tensor y;
  Tensor normalisation;
  Tensor running_mean;
  Tensor running_var;
  Tensor g;
  Tensor gradient;
  Tensor dfilter;
  Tensor dpointwise;
};

/// What is wanted of a backward pass.
struct Wanted {
  bool weights = true;
  bool dx = true;
  Write write = Write::overwrite;
};

class Bundle {
 public:
  explicit Bundle(const Case& c, int threads = 2) : c_(c), ctx_(Context::cpu(threads)), x_(random_x(c)) {
    for (std::size_t k = 0; k < c.windows.size(); ++k) {
      const Shape y = bundle_.output_shape(c.x, k, c.channels[k]);
      const Shape filter{c.windows[k].kernel, c.windows[k].kernel, c.x[3]};
      const Shape pointwise{c.channels[k], c.x[3]};
      const std::uint64_t seed = 10 * k;
      terms_.push_back({Tensor::random(filter, seed + 1), Tensor::random(pointwise, seed + 2), Tensor(y, c.y_gap),
                        Tensor({2, c.channels[k]}), Tensor::filled({c.channels[k]}, 0.5F),
                        Tensor::filled({c.channels[k]}, 2.0F), Tensor::random(y, seed + 3, c.y_gap),
                        Tensor::random({4, c.channels[k]}, seed + 4), Tensor(filter), Tensor(pointwise)});
    }
    if (c.normalised) {
      normalisation_.emplace(Tensor::random({2, c.x[3]}, 77));
      for (std::int64_t i = 0; i < c.x[3]; ++i) {
        (*normalisation_)[i] = c.mean + 0.1F * (*normalisation_)[i];
        (*normalisation_)[c.x[3] + i] = 1.5F + (*normalisation_)[c.x[3] + i];
      }
    }
  }

  void forward() {
    std::vector<BundleTerm> terms;
    for (TermTensors& t : terms_) {
      terms.push_back({t.filter.view(),
                       t.pointwise.view(),
                       t.y.view(),
                       t.normalisation.view(),
                       {t.running_mean.view(), t.running_var.view()}});
    }
    test::Workspace workspace(separable_bundle_forward_workspace(ctx_, bundle_, c_.x, c_.channels));
    separable_bundle_forward(ctx_, bundle_, {}, source(), terms, workspace.span());
  }

  void backward(const Wanted& wanted = {}) {
    dx_ = wanted.write == Write::accumulate ? Tensor::filled(c_.x, 0.25F, c_.x_gap) : Tensor(c_.x, c_.x_gap);
    const bool normalised = c_.normalised && wanted.dx && wanted.write == Write::overwrite;
    std::vector<BundleTermGradient> terms;
    for (TermTensors& t : terms_) {
      terms.push_back({t.filter.view(), t.pointwise.view(), t.y.view(), t.g.view(), t.gradient.view(),
                       wanted.weights ? t.dfilter.view() : TensorView{},
                       wanted.weights ? t.dpointwise.view() : TensorView{}});
    }
    test::Workspace workspace(separable_bundle_backward_workspace(ctx_, bundle_, c_.x, c_.channels));
    separable_bundle_backward(
        ctx_, bundle_, source(), terms,
        {wanted.dx ? dx_.view() : TensorView{}, wanted.write, normalised ? source_gradient_.view() : TensorView{}},
        workspace.span());
  }

  /// z in double precision.
  [[nodiscard]] std::vector<double> z() const {
    std::vector<double> z = x_.doubles();
    const auto channels = static_cast<std::size_t>(c_.x[3]);
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (normalisation_) {
        const auto rows = normalisation_->doubles();
        z[i] = (z[i] - rows[i % channels]) * rows[channels + i % channels];
      }
      z[i] = std::max(z[i], 0.0);
    }
    return z;
  }
  [[nodiscard]] reference::SeparableTerm reference(std::size_t k) const {
    const SeparableWindow& w = c_.windows[k];
    return {{w.kernel, c_.stride, w.dilation, w.padding}, c_.x, c_.channels[k]};
  }
  /// The gradient of x (or of its normalised value), and per term those of the weights, of what backward() got.
  struct Expected {
    std::vector<double> dx;
    std::vector<reference::SeparableTerm::Gradients> terms;
  };
  [[nodiscard]] Expected expected() const {
    const std::vector<double> z = this->z();
    Expected e{std::vector<double>(z.size(), 0.0), {}};
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const TermTensors& t = terms_[k];
      const auto dy = reference::form_gradient(t.gradient.doubles(), t.g.doubles(), t.y.doubles());
      e.terms.push_back(reference(k).backward(z, t.filter.doubles(), t.pointwise.doubles(), dy));
      for (std::size_t i = 0; i < z.size(); ++i)
        e.dx[i] += z[i] > 0.0 ? e.terms[k].z[i] : 0.0;
    }
    return e;
  }

  [[nodiscard]] BundleSource source() const {
    return {x_.view(), normalisation_ ? normalisation_->view() : TensorView{}};
  }

  static Tensor random_x(const Case& c) {
    Tensor x = Tensor::random(c.x, 99, c.x_gap);
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] += c.mean;
    return x;
  }

  const Case& c_;
  Context ctx_;
  SeparableBundle bundle_{c_.stride, c_.windows};
  Tensor x_;
  std::optional<Tensor> normalisation_;
  std::vector<TermTensors> terms_;
  Tensor dx_{c_.x, c_.x_gap};
  Tensor source_gradient_{{4, c_.x[3]}};
};

class SeparableBundleCase : public testing::TestWithParam<Case> {};
class NormalisedBundleCase : public testing::TestWithParam<Case> {};

TEST_P(SeparableBundleCase, OutputsAndStatisticsMatchReference) {
  const Case& c = GetParam();
  Bundle b(c);
  b.forward();
  const std::vector<double> z = b.z();
  for (std::size_t k = 0; k < b.terms_.size(); ++k) {
    SCOPED_TRACE(k);
    const TermTensors& t = b.terms_[k];
    const std::vector<double> y = b.reference(k).forward(z, t.filter.doubles(), t.pointwise.doubles());
    EXPECT_LT(max_relative_error(t.y, y), tolerance);
    EXPECT_TRUE(t.y.gaps_untouched());

    // The statistics are those of the stored values.
    const std::vector<double> stored = t.y.doubles();
    const reference::Moments moments(stored, c.channels[k]);
    const double pixels = static_cast<double>(stored.size()) / static_cast<double>(c.channels[k]);
    for (std::int64_t i = 0; i < c.channels[k]; ++i) {
      const auto ch = static_cast<std::size_t>(i);
      const double rstd = moments.rstd(ch, 1e-5);
      EXPECT_NEAR(t.normalisation[i], moments.mean[ch], 1e-6 * (1.0 / rstd + std::abs(moments.mean[ch])));
      EXPECT_NEAR(t.normalisation[c.channels[k] + i], rstd, 1e-5 * rstd);
      const double unbiased = pixels > 1.0 ? moments.var[ch] * pixels / (pixels - 1.0) : moments.var[ch];
      EXPECT_NEAR(t.running_mean[i], 0.9 * 0.5 + 0.1 * moments.mean[ch], 1e-6 * (1.0 + std::abs(moments.mean[ch])));
      EXPECT_NEAR(t.running_var[i], 0.9 * 2.0 + 0.1 * unbiased, 1e-5 * (2.0 + unbiased));
    }
  }
}

TEST_P(SeparableBundleCase, GradientsMatchReference) {
  const Case& c = GetParam();
  Bundle b(c);
  b.forward();
  const Bundle::Expected expected = b.expected();
  b.backward();
  EXPECT_LT(max_relative_error(b.dx_, expected.dx), tolerance);
  EXPECT_TRUE(b.dx_.gaps_untouched());
  for (std::size_t k = 0; k < b.terms_.size(); ++k) {
    SCOPED_TRACE(k);
    EXPECT_LT(max_relative_error(b.terms_[k].dfilter, expected.terms[k].filter), tolerance);
    EXPECT_LT(max_relative_error(b.terms_[k].dpointwise, expected.terms[k].weights), tolerance);
  }

  std::vector<double> sums = expected.dx;
  for (double& v : sums)
    v += 0.25;
  b.backward({.weights = false, .dx = true, .write = Write::accumulate});
  EXPECT_LT(max_relative_error(b.dx_, sums), tolerance);
  EXPECT_TRUE(b.dx_.gaps_untouched());
}

// Batch norm's gradient from the two sums, and its closed form.
TEST_P(NormalisedBundleCase, GradientOfASourcesNormalisation) {
  const Case& c = GetParam();
  Bundle b(c);
  b.forward();
  const Bundle::Expected expected = b.expected();
  b.backward();
  const auto channels = static_cast<std::size_t>(c.x[3]);
  const auto rows = b.normalisation_->doubles();
  const auto x = b.x_.doubles();
  const double pixels = static_cast<double>(x.size() / channels);
  std::vector<double> closed(4 * channels, 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    closed[channels + i % channels] += expected.dx[i] * (x[i] - rows[i % channels]);
    closed[3 * channels + i % channels] += expected.dx[i];
  }
  for (std::size_t i = 0; i < channels; ++i) {
    const double rstd = rows[channels + i];
    closed[i] = rstd;
    closed[channels + i] *= -rstd * rstd * rstd / pixels;
    closed[2 * channels + i] = rows[i];
    closed[3 * channels + i] *= -rstd / pixels;
  }
  for (std::size_t row = 0; row < 4; ++row) {
    SCOPED_TRACE(row);
    std::vector<double> expected_row(closed.begin() + static_cast<std::ptrdiff_t>(row * channels),
                                     closed.begin() + static_cast<std::ptrdiff_t>((row + 1) * channels));
    Tensor actual({c.x[3]});
    for (std::int64_t i = 0; i < c.x[3]; ++i)
      actual[i] = b.source_gradient_[static_cast<std::int64_t>(row) * c.x[3] + i];
    EXPECT_LT(max_relative_error(actual, expected_row), 10 * tolerance);
  }
}

TEST_P(SeparableBundleCase, BitsDoNotDependOnThreads) {
  Bundle one(GetParam(), 1);
  one.forward();
  one.backward();
  for (const int threads : {2, 3, 5}) {
    SCOPED_TRACE(threads);
    Bundle many(GetParam(), threads);
    many.forward();
    many.backward();
    EXPECT_TRUE(many.dx_.same_bits(one.dx_));
    EXPECT_TRUE(many.source_gradient_.same_bits(one.source_gradient_));
    for (std::size_t k = 0; k < one.terms_.size(); ++k) {
      EXPECT_TRUE(many.terms_[k].y.same_bits(one.terms_[k].y));
      EXPECT_TRUE(many.terms_[k].normalisation.same_bits(one.terms_[k].normalisation));
      EXPECT_TRUE(many.terms_[k].running_var.same_bits(one.terms_[k].running_var));
      EXPECT_TRUE(many.terms_[k].dfilter.same_bits(one.terms_[k].dfilter));
      EXPECT_TRUE(many.terms_[k].dpointwise.same_bits(one.terms_[k].dpointwise));
    }
  }
}

TEST_P(SeparableBundleCase, WhatIsNotWantedDoesNotChangeTheRest) {
  Bundle all(GetParam());
  all.forward();
  all.backward();
  Bundle part(GetParam());
  part.forward();
  part.backward({.weights = false, .dx = true, .write = Write::overwrite});
  EXPECT_TRUE(part.dx_.same_bits(all.dx_));
  part.backward({.weights = true, .dx = false, .write = Write::overwrite});
  for (std::size_t k = 0; k < all.terms_.size(); ++k) {
    EXPECT_TRUE(part.terms_[k].dfilter.same_bits(all.terms_[k].dfilter));
    EXPECT_TRUE(part.terms_[k].dpointwise.same_bits(all.terms_[k].dpointwise));
  }
}

const std::vector<SeparableWindow> darts{{3, 1, 1}, {5, 1, 2}, {3, 2, 2}, {5, 2, 4}};

const std::vector<Case> plain{
    {{2, 8, 8, 16}, 1, darts, {16, 16, 16, 16}},
    {{3, 8, 8, 16}, 2, darts, {16, 16, 16, 16}},
    {{2, 32, 32, 16}, 1, darts, {16, 16, 16, 16}},
    {{5, 16, 16, 32}, 2, darts, {32, 32, 32, 32}},
    {{2, 7, 9, 8}, 1, darts, {8, 8, 8, 8}},
    {{2, 9, 7, 8}, 2, darts, {8, 8, 8, 8}},
    {{3, 5, 5, 4}, 1, darts, {4, 4, 4, 4}},
    {{3, 6, 5, 4}, 2, darts, {4, 4, 4, 4}},
    {{2, 5, 6, 3}, 1, darts, {3, 5, 7, 1}},
    {{2, 5, 6, 1}, 2, darts, {3, 5, 7, 1}},
    {{2, 6, 6, 12}, 1, darts, {12, 8, 20, 16}},
    {{2, 6, 6, 20}, 2, darts, {20, 40, 33, 16}},
    {{2, 10, 9, 48}, 1, {{7, 1, 3}, {7, 2, 6}, {1, 1, 0}}, {48, 64, 16}},
    {{2, 9, 10, 16}, 2, {{7, 1, 3}, {7, 2, 6}, {1, 1, 0}}, {16, 16, 16}},
    {{2, 8, 8, 16}, 2, {{1, 1, 0}}, {16}},
    {{2, 8, 8, 16}, 1, {{5, 1, 0}}, {16}},
    {{2, 12, 12, 16}, 1, {{3, 6, 6}, {7, 4, 12}}, {16, 16}},
    {{1, 1, 1, 16}, 1, darts, {16, 16, 16, 16}},
    {{4, 1, 1, 8}, 2, darts, {8, 8, 8, 8}},
    {{40, 4, 4, 8}, 1, darts, {8, 8, 8, 8}},
    {{2, 8, 8, 16}, 1, darts, {16, 16, 16, 16}, false, {16, 32}, {48, 0}},
    {{2, 8, 8, 8}, 2, darts, {8, 8, 8, 8}, false, {8, 8}, {8, 16}},
    {{4, 8, 8, 16}, 1, darts, {16, 16, 16, 16}, false, {}, {}, 100.0F},
};
const std::vector<Case> normalised{
    {{70, 2, 3, 16}, 1, {{3, 1, 1}}, {16}, true},
    {{2, 8, 8, 16}, 1, {{5, 1, 2}}, {16}, true},
    {{3, 7, 5, 8}, 1, {{3, 1, 1}}, {8}, true},
    {{3, 7, 5, 12}, 1, {{3, 1, 1}, {5, 2, 4}}, {12, 24}, true, {2, 3}, {1, 4}},
    {{3, 8, 6, 6}, 2, {{3, 1, 1}, {5, 1, 2}}, {6, 6}, true},
    {{2, 8, 8, 40}, 1, {{5, 1, 2}}, {40}, true},
    {{4, 8, 8, 16}, 1, {{5, 1, 2}}, {16}, true, {}, {}, 100.0F},
};

INSTANTIATE_TEST_SUITE_P(Plain, SeparableBundleCase, testing::ValuesIn(plain));
INSTANTIATE_TEST_SUITE_P(Normalised, SeparableBundleCase, testing::ValuesIn(normalised));
INSTANTIATE_TEST_SUITE_P(Normalised, NormalisedBundleCase, testing::ValuesIn(normalised));

TEST(SeparableBundle, NamesWhatIsWrong) {
  const Case c{{2, 8, 8, 16}, 1, {{3, 1, 1}, {5, 1, 2}}, {16, 16}};
  const auto context = Context::cpu(1);
  const std::vector<std::int64_t> channels{16, 16};
  const auto workspace = [&](int stride, std::vector<SeparableWindow> windows) {
    return [=, &context, &channels] {
      static_cast<void>(separable_bundle_forward_workspace(context, {stride, windows}, {2, 8, 8, 16}, channels));
    };
  };
  using testing::HasSubstr;
  EXPECT_THAT(test::message_of<UnsupportedError>(workspace(3, {{3, 1, 1}, {5, 1, 2}})), HasSubstr("stride is 3"));
  EXPECT_THAT(test::message_of<UnsupportedError>(workspace(1, {{9, 1, 4}, {5, 1, 2}})),
              HasSubstr("windows[0] has kernel 9"));
  EXPECT_THAT(test::message_of<UnsupportedError>(workspace(1, {{3, 1, 3}, {5, 1, 2}})), HasSubstr("padding 3"));
  EXPECT_THAT(test::message_of<ShapeError>(workspace(1, {{3, 1, 1}, {5, 1, 1}})),
              HasSubstr("windows[1] yields [2, 6, 6, 16], expected [2, 8, 8, 16]"));
  EXPECT_THAT(test::message_of<ShapeError>(workspace(1, {{3, 1, 1}})), HasSubstr("2 terms, expected 1"));
  EXPECT_THAT(test::message_of<ShapeError>(workspace(1, std::vector<SeparableWindow>(65, {3, 1, 1}))),
              HasSubstr("65 windows, expected 1 to 64"));

  Bundle b(c);
  b.terms_[1].pointwise = Tensor::random({16, 8}, 1);
  EXPECT_THAT(test::message_of<ShapeError>([&] { b.forward(); }), HasSubstr("pointwise[1] is [16, 8]"));
  EXPECT_THAT(test::message_of<ShapeError>([&] { b.backward(); }), HasSubstr("pointwise[1] is [16, 8]"));
  Bundle g(c);
  g.terms_[0].g = Tensor::random({2, 8, 8, 8}, 1);
  EXPECT_THAT(test::message_of<ShapeError>([&] { g.backward(); }), HasSubstr("g[0] is [2, 8, 8, 8]"));
}

}  // namespace
}  // namespace dnas::kernels
