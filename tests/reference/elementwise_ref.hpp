#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

inline std::vector<double> relu(std::span<const double> x) {
  std::vector<double> y(x.begin(), x.end());
  for (double& v : y)
    if (v < 0.0) v = 0.0;
  return y;
}

inline std::vector<double> relu_gradient(std::span<const double> y, std::span<const double> dy) {
  std::vector<double> dx(y.size(), 0.0);
  for (std::size_t i = 0; i < y.size(); ++i)
    if (y[i] > 0.0) dx[i] = dy[i];
  return dx;
}

inline std::vector<double> relu6(std::span<const double> x) {
  std::vector<double> y(x.begin(), x.end());
  for (double& v : y)
    v = v < 0.0 ? 0.0 : v > 6.0 ? 6.0 : v;
  return y;
}

inline std::vector<double> relu6_gradient(std::span<const double> y, std::span<const double> dy) {
  std::vector<double> dx(y.size(), 0.0);
  for (std::size_t i = 0; i < y.size(); ++i)
    if (y[i] > 0.0 && y[i] < 6.0) dx[i] = dy[i];
  return dx;
}

inline std::vector<double> sum(std::span<const double> a, std::span<const double> b) {
  std::vector<double> y(a.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    y[i] = a[i] + b[i];
  return y;
}

}  // namespace dnas::reference
