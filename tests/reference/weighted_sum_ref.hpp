#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

/// y = sum_k w[k] * x[k]
inline std::vector<double> weighted_sum(std::span<const std::vector<double>> x, std::span<const double> w) {
  std::vector<double> y(x[0].size(), 0.0);
  for (std::size_t k = 0; k < x.size(); ++k)
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] += w[k] * x[k][i];
  return y;
}

/// dw = sum dy * x
inline double weight_gradient(std::span<const double> x, std::span<const double> dy) {
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i)
    sum += dy[i] * x[i];
  return sum;
}

}  // namespace dnas::reference
