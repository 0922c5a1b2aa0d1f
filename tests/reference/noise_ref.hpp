#pragma once

#include "dnas/kernels/rng.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dnas::reference {

/// Of the population, in two passes.
inline double standard_deviation(std::span<const double> x) {
  double mean = 0.0;
  for (const double v : x)
    mean += v / static_cast<double>(x.size());
  double variance = 0.0;
  for (const double v : x)
    variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
  return std::sqrt(variance);
}

/// x + factor * std(x) * n; element i draws at first + i.
inline std::vector<double> gaussian_noise(std::span<const double> x, double factor, const Philox& random,
                                          std::uint64_t first) {
  const double deviation = standard_deviation(x);
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] = x[i] + factor * deviation * static_cast<double>(random.normal(first + i));
  return y;
}

}  // namespace dnas::reference
