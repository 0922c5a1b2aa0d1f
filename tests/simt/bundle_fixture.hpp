#pragma once

#include "ops/state_bundle_cuda.hpp"
#include "reference/pool_ref.hpp"
#include "reference/separable_bundle_ref.hpp"
#include "simt/device_tensor.hpp"
#include "support/tensors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

// What the tests of the kernels of a cell share: tensors of both storage types, and candidates in double precision.
namespace dnas::simt {

using kernels::cuda::CandidateKind;
using kernels::cuda::Product;
using test::Gap;

// --- tensors --------------------------------------------------------------------------------------------------------

/// A tensor that not every case has.
using MaybeTensor = std::optional<DeviceTensor>;

[[nodiscard]] inline TensorView view_of(const MaybeTensor& t) {
  return t ? t->view() : TensorView{};
}
[[nodiscard]] inline std::vector<double> doubles_of(const MaybeTensor& t) {
  return t ? t->doubles() : std::vector<double>{};
}

[[nodiscard]] inline Layout layout_of(Product product, Gap gap, std::int64_t offset) {
  return {product == Product::bf16 ? DType::bf16 : DType::f32, gap.before, gap.after, offset};
}

/// Uniform in [mean - 1, mean + 1).
[[nodiscard]] inline DeviceTensor random_about(double mean, const Shape& shape, std::uint64_t seed,
                                               const Layout& layout) {
  DeviceTensor t = DeviceTensor::random(shape, seed, layout);
  for (std::int64_t i = 0; i < t.size(); ++i)
    t.set(i, mean + t[i]);
  return t;
}

/// -1, 0 and 1, of which products and sums are exact in every format.
[[nodiscard]] inline DeviceTensor random_signs(const Shape& shape, std::uint64_t seed, const Layout& layout) {
  DeviceTensor t = DeviceTensor::random(shape, seed, layout);
  for (std::int64_t i = 0; i < t.size(); ++i)
    t.set(i, std::floor(1.5 * t[i] + 0.5));
  return t;
}

/// What tensors hold.
enum class Values : bool { uniform, signs };

[[nodiscard]] inline DeviceTensor random_values(Values values, const Shape& shape, std::uint64_t seed,
                                                const Layout& layout) {
  return values == Values::signs ? random_signs(shape, seed, layout) : DeviceTensor::random(shape, seed, layout);
}

/// Rows mean and rstd for a source that is spread about `mean`.
[[nodiscard]] inline DeviceTensor random_normalisation(double mean, std::int64_t channels, std::uint64_t seed,
                                                       std::int64_t offset) {
  DeviceTensor rows = DeviceTensor::random({2, channels}, seed, {.offset = offset});
  for (std::int64_t i = 0; i < channels; ++i) {
    rows.set(i, mean + 0.1 * rows[i]);
    rows.set(channels + i, 1.5 + rows[channels + i]);
  }
  return rows;
}

// --- candidates in double precision ---------------------------------------------------------------------------------

/// A result, and what its terms add up to without their signs: what rounding errors are relative to.
struct Expected {
  std::vector<double> value;
  std::vector<double> magnitude;
};

[[nodiscard]] inline std::vector<double> absolute(std::vector<double> values) {
  for (double& v : values)
    v = std::abs(v);
  return values;
}

/// A source's state s: x, or x normalised.
[[nodiscard]] inline std::vector<double> state_of(const DeviceTensor& x, const MaybeTensor& normalisation) {
  std::vector<double> s = x.doubles();
  if (!normalisation) return s;
  const auto channels = static_cast<std::size_t>(x.channels());
  const std::vector<double> rows = normalisation->doubles();
  for (std::size_t i = 0; i < s.size(); ++i)
    s[i] = (s[i] - rows[i % channels]) * rows[channels + i % channels];
  return s;
}

[[nodiscard]] inline Shape output_shape(CandidateKind kind, const kernels::SeparableWindow& w, int stride,
                                        const Shape& x, std::int64_t channels) {
  if (kind == CandidateKind::identity) return x;
  if (kind == CandidateKind::factorised_reduce) return {x[0], (x[1] + 1) / 2, (x[2] + 1) / 2, channels};
  const Shape y = kernels::DepthwiseConv{w.kernel, stride, w.dilation, w.padding}.output_shape(x);
  return {y[0], y[1], y[2], channels};
}

/// Two 1x1 convolutions with stride 2, the second of the pixels one further down and right.
[[nodiscard]] inline std::vector<double> factorised_reduce(const Shape& x, const Shape& y, const std::vector<double>& z,
                                                           const std::vector<double>& weights) {
  std::vector<double> result;
  reference::for_each_element(y, [&](auto n, auto i, auto j, auto o) {
    const std::int64_t shift = o < y[3] / 2 ? 0 : 1;
    const std::int64_t row = 2 * i + shift;
    const std::int64_t column = 2 * j + shift;
    double sum = 0.0;
    for (std::int64_t c = 0; c < x[3] && row < x[1] && column < x[2]; ++c) {
      sum += z[static_cast<std::size_t>(((n * x[1] + row) * x[2] + column) * x[3] + c)] *
             weights[static_cast<std::size_t>(o * x[3] + c)];
    }
    result.push_back(sum);
  });
  return result;
}

/// The output of a candidate on state s [x].
[[nodiscard]] inline Expected candidate_output(CandidateKind kind, const kernels::SeparableWindow& w, int stride,
                                               const Shape& x, const std::vector<double>& s,
                                               const std::vector<double>& filter,
                                               const std::vector<double>& pointwise) {
  const auto channels = static_cast<std::int64_t>(pointwise.size()) / x[3];
  const kernels::Pool pool{w.kernel, stride, w.padding};
  std::vector<double> z = s;
  for (double& v : z)
    v = std::max(v, 0.0);
  const auto both = [](std::vector<double> value) { return Expected{value, absolute(value)}; };
  switch (kind) {
    case CandidateKind::identity:
      return both(s);
    case CandidateKind::max_pool:
      return both(reference::max_pool_forward(pool, x, pool.output_shape(x), s).y);
    case CandidateKind::avg_pool:
      return {reference::avg_pool_forward(pool, x, pool.output_shape(x), s),
              reference::avg_pool_forward(pool, x, pool.output_shape(x), absolute(s))};
    case CandidateKind::factorised_reduce: {
      const Shape y = output_shape(kind, w, stride, x, channels);
      return {factorised_reduce(x, y, z, pointwise), factorised_reduce(x, y, z, absolute(pointwise))};
    }
    case CandidateKind::separable:
      break;
  }
  const reference::SeparableTerm term({w.kernel, stride, w.dilation, w.padding}, x, channels);
  return {term.forward(z, filter, pointwise), term.forward(z, absolute(filter), absolute(pointwise))};
}

// --- comparison -----------------------------------------------------------------------------------------------------

[[nodiscard]] inline const char* name_of(Product product) {
  switch (product) {
    case Product::tf32x3:
      return "tf32x3";
    case Product::tf32:
      return "tf32";
    case Product::bf16:
      break;
  }
  return "bf16";
}

/// Of an output of a candidate, relative to the sum of the magnitudes of its terms.
[[nodiscard]] inline double output_tolerance(Product product) {
  switch (product) {
    case Product::tf32x3:
      return 2e-6;  // 2^-21 of each product, and f32 sums of up to 49 and of up to 64 terms
    case Product::tf32:
      return 1e-3;  // two operands rounded by up to 2^-11 each
    case Product::bf16:
      break;
  }
  return 1e-2;  // a normalised source, d, the weights and the output rounded by up to 2^-9 each
}

/// The largest error that was met, as a part of its tolerance, by product and result.
class Margins {
 public:
  ~Margins() {
    for (const auto& [name, margin] : worst_)
      std::cout << "worst error, as a part of its tolerance: " << name << ' ' << margin << '\n';
  }
  Margins() = default;
  Margins(const Margins&) = delete;
  Margins& operator=(const Margins&) = delete;
  Margins(Margins&&) = delete;
  Margins& operator=(Margins&&) = delete;

  void note(Product product, const std::string& what, double part) {
    double& worst = worst_[std::string(name_of(product)) + ' ' + what];
    worst = std::max(worst, part);
  }

 private:
  std::map<std::string, double> worst_;
};

/// |actual - expected| <= tolerance * magnitude for all elements; NaN where NaN is expected.
inline void expect_close(const std::vector<double>& actual, const Expected& expected, double tolerance, Product product,
                         const std::string& what, Margins& margins) {
  ASSERT_EQ(actual.size(), expected.value.size()) << what;
  double worst = 0.0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(actual[i]) && std::isnan(expected.value[i])) continue;
    if (actual[i] == expected.value[i]) continue;  // infinities among them
    double error = std::abs(actual[i] - expected.value[i]) / (expected.magnitude[i] + 1e-30);
    if (!(error >= 0.0)) error = std::numeric_limits<double>::infinity();  // NaN on one side
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  EXPECT_LE(worst, tolerance) << what << ", element " << where << ": " << actual[where] << ", expected "
                              << expected.value[where] << ", magnitude " << expected.magnitude[where];
  margins.note(product, what, worst / tolerance);
}

}  // namespace dnas::simt
