#pragma once

#include "ops/state_bundle_cuda.hpp"
#include "reference/pool_ref.hpp"
#include "reference/separable_bundle_ref.hpp"
#include "simt/device_tensor.hpp"
#include "simt/margins.hpp"
#include "support/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

// What the tests of the kernels of a cell share: tensors of both storage types, and candidates in double precision.
namespace dnas::simt {

using kernels::cuda::CandidateKind;
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
  return 1e-2;  // a normalised source, d, the weights and the output rounded by up to 2^-8 each, which cancel in part
}

}  // namespace dnas::simt
