#include "core/gamma_quantile.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace dnas::search {
namespace {

constexpr double euler = 0.57721566490153286;

TEST(GammaQuantile, OfShapeOneIsThatOfTheExponentialDistribution) {
  for (const double u : {0x1p-33, 1e-4, 0.1, 0.5, 0.9, 0.9999})
    EXPECT_NEAR(gamma_quantile(1.0, u).log_x, std::log(-std::log1p(-u)), 1e-11) << u;
  // The documented loss of digits at the largest u.
  EXPECT_NEAR(gamma_quantile(1.0, 1.0 - 0x1p-33).log_x, std::log(33.0 * std::numbers::ln2), 1e-5);
}

TEST(GammaQuantile, OfShapeOneHalfIsThatOfASquaredNormal) {
  for (const double u : {1e-6, 0.1, 0.5, 0.9, 0.999})
    EXPECT_NEAR(std::erf(std::exp(0.5 * gamma_quantile(0.5, u).log_x)), u, 1e-13) << u;
}

TEST(GammaQuantile, OfShapeThreeIsThatOfAnErlangDistribution) {
  for (const double u : {1e-6, 0.1, 0.5, 0.9, 0.999}) {
    const double x = std::exp(gamma_quantile(3.0, u).log_x);
    EXPECT_NEAR(1.0 - std::exp(-x) * (1.0 + x + 0.5 * x * x), u, 1e-13) << u;
  }
}

// Simpson's rule for the density of log x, exp(c t - exp(t)) / Gamma(c), which is smooth.
TEST(GammaQuantile, InvertsTheIntegralOfTheDensity) {
  for (const double c : {0.3, 2.7, 40.5}) {
    for (const double u : {0.02, 0.5, 0.97}) {
      const double end = gamma_quantile(c, u).log_x;
      const auto density = [c](double t) { return std::exp(c * t - std::exp(t) - std::lgamma(c)); };
      constexpr int intervals = 200000;
      const double begin = end - 40.0 / std::min(c, 1.0);  // nothing of note is left of it
      const double h = (end - begin) / intervals;
      double sum = density(begin) + density(end);
      for (int i = 1; i < intervals; ++i)
        sum += (i % 2 == 1 ? 4.0 : 2.0) * density(begin + i * h);
      EXPECT_NEAR(sum * h / 3.0, u, 1e-10) << c;
    }
  }
}

// P(c, x) tends to x^c / Gamma(c + 1), and log Gamma(c + 1) to -euler c: x itself would be exp(-690000).
TEST(GammaQuantile, OfATinyShapeIsAPowerLaw) {
  const double c = 1e-6;
  const GammaQuantile q = gamma_quantile(c, 0.5);
  EXPECT_NEAR(q.log_x, std::log(0.5) / c - euler, 1e-5);
  EXPECT_NEAR(q.derivative * c * c / -std::log(0.5), 1.0, 1e-6);
}

TEST(GammaQuantile, MedianOfALargeShapeFollowsItsExpansion) {
  const double c = 10000.0;
  EXPECT_NEAR(std::exp(gamma_quantile(c, 0.5).log_x), c - 1.0 / 3.0 + 8.0 / (405.0 * c), 1e-7);
}

TEST(GammaQuantile, DerivativeMatchesDifferences) {
  for (const double c : {0.01, 0.3, 0.999, 1.0, 2.5, 30.0}) {
    for (const double u : {1e-3, 0.2, 0.5, 0.8, 0.999}) {
      const double h = 1e-4 * c;
      const double difference = (gamma_quantile(c + h, u).log_x - gamma_quantile(c - h, u).log_x) / (2.0 * h);
      EXPECT_NEAR(gamma_quantile(c, u).derivative / difference, 1.0, 1e-6) << c << " " << u;
    }
  }
}

// E[x] = c and E[log x] = psi(c), so the mean derivatives are 1 and psi'(c), which is pi^2/6 at 1 and pi^2/2 at 1/2.
TEST(GammaQuantile, MeanOfTheDerivativeIsTheDerivativeOfTheMean) {
  constexpr int cells = 20000;
  for (const auto& [c, trigamma] :
       {std::pair(1.0, std::pow(std::numbers::pi, 2) / 6.0), std::pair(0.5, std::pow(std::numbers::pi, 2) / 2.0)}) {
    double of_x = 0.0;
    double of_log_x = 0.0;
    for (int i = 0; i < cells; ++i) {
      const GammaQuantile q = gamma_quantile(c, (i + 0.5) / cells);
      of_x += std::exp(q.log_x) * q.derivative / cells;
      of_log_x += q.derivative / cells;
    }
    EXPECT_NEAR(of_x, 1.0, 1e-3) << c;
    EXPECT_NEAR(of_log_x / trigamma, 1.0, 1e-3) << c;
  }
}

}  // namespace
}  // namespace dnas::search
