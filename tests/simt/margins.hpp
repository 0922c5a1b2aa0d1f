#pragma once

#include "core/product.hpp"
#include "reference/separable_bundle_ref.hpp"
#include "simt/device_tensor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

// Comparison with sums in double precision: errors relative to what the terms of a sum add up to without their signs,
// which is what rounding them costs, and a record of the worst.
namespace dnas::simt {

using kernels::cuda::Product;

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

/// A result, and the sum of the magnitudes of its terms.
struct Expected {
  std::vector<double> value;
  std::vector<double> magnitude;

  Expected() = default;
  explicit Expected(std::int64_t elements)
      : value(static_cast<std::size_t>(elements)), magnitude(static_cast<std::size_t>(elements)) {}
  Expected(std::vector<double> value_, std::vector<double> magnitude_)
      : value(std::move(value_)), magnitude(std::move(magnitude_)) {}

  void add(double term) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      value[i] += term;
      magnitude[i] += std::abs(term);
    }
  }
};

[[nodiscard]] inline std::vector<double> absolute(std::vector<double> values) {
  for (double& v : values)
    v = std::abs(v);
  return values;
}

/// dy of a normalisation gradient [4, C] (reference::form_gradient).
[[nodiscard]] inline Expected formed_gradient(const std::vector<double>& rows, const std::vector<double>& g,
                                              const std::vector<double>& y) {
  const std::size_t c = rows.size() / 4;
  Expected dy(reference::form_gradient(rows, g, y), std::vector<double>(g.size()));
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::size_t k = i % c;
    dy.magnitude[i] =
        std::abs(rows[k] * g[i]) + std::abs(rows[c + k] * (y[i] - rows[2 * c + k])) + std::abs(rows[3 * c + k]);
  }
  return dy;
}

/// The largest errors that were met, by product and result: printed when the program ends.
class Margins {
 public:
  explicit Margins(std::string operation) : operation_(std::move(operation)) {}
  ~Margins() {
    for (const auto& [name, worst] : worst_) {
      std::cout << operation_ << ", " << name << ": worst error " << worst.error << " of " << worst.tolerance << '\n';
    }
  }
  Margins(const Margins&) = delete;
  Margins& operator=(const Margins&) = delete;
  Margins(Margins&&) = delete;
  Margins& operator=(Margins&&) = delete;

  void note(Product product, const std::string& what, double error, double tolerance) {
    Worst& worst = worst_[std::string(name_of(product)) + ", " + what];
    if (worst.tolerance == 0.0 || error * worst.tolerance > worst.error * tolerance) worst = {error, tolerance};
  }

 private:
  struct Worst {
    double error = 0.0;
    double tolerance = 0.0;
  };
  std::string operation_;
  std::map<std::string, Worst> worst_;
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
  margins.note(product, what, worst, tolerance);
}

/// What a launch wrote of the statistics of an output, whose running ones were 0.5 and 2.
struct WrittenStatistics {
  const DeviceTensor& normalisation;  ///< [2, channels]
  const DeviceTensor& running_mean;
  const DeviceTensor& running_var;
};

/// Relative to |mean| and the deviation together, and to rstd.
struct StatisticsTolerance {
  double mean;
  double rstd;
};

/// Against those of the values y [pixels, channels] as stored: they are the ones that are normalised later.
inline void expect_statistics(const WrittenStatistics& actual, const std::vector<double>& y,
                              const StatisticsTolerance& tolerance, Product product, Margins& margins) {
  const std::int64_t channels = actual.running_mean.size();
  const reference::Moments moments(y, channels);
  const double pixels = static_cast<double>(y.size()) / static_cast<double>(channels);
  Expected mean;
  Expected rstd;
  Expected running_mean;
  Expected running_var;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    const double unbiased = moments.var[c] * pixels / std::max(pixels - 1.0, 1.0);
    const double size = std::abs(moments.mean[c]) + std::sqrt(moments.var[c]);
    mean.value.push_back(moments.mean[c]);
    mean.magnitude.push_back(size);
    rstd.value.push_back(moments.rstd(c, 1e-5F));
    rstd.magnitude.push_back(rstd.value[c] * (1.0 + 0.02 * std::abs(moments.mean[c]) * rstd.value[c]));
    running_mean.value.push_back(0.9 * 0.5 + 0.1 * moments.mean[c]);
    running_mean.magnitude.push_back(0.45 + 0.1 * size);
    running_var.value.push_back(0.9 * 2.0 + 0.1 * unbiased);
    running_var.magnitude.push_back(running_var.value[c] * rstd.magnitude[c] / rstd.value[c]);
  }
  const std::vector<double> rows = actual.normalisation.doubles();
  const auto half = rows.begin() + channels;
  expect_close({rows.begin(), half}, mean, tolerance.mean, product, "mean", margins);
  expect_close({half, rows.end()}, rstd, tolerance.rstd, product, "rstd", margins);
  expect_close(actual.running_mean.doubles(), running_mean, tolerance.mean, product, "running mean", margins);
  expect_close(actual.running_var.doubles(), running_var, tolerance.rstd, product, "running variance", margins);
  EXPECT_TRUE(actual.normalisation.untouched() && actual.running_mean.untouched() && actual.running_var.untouched());
}

}  // namespace dnas::simt
