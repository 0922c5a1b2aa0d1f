#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

inline std::vector<double> bias(std::span<const double> x, std::span<const double> b) {
  std::vector<double> y(x.begin(), x.end());
  for (std::size_t i = 0; i < y.size(); ++i)
    y[i] += b[i % b.size()];
  return y;
}

inline std::vector<double> bias_gradient(std::span<const double> dy, std::size_t channels) {
  std::vector<double> db(channels, 0.0);
  for (std::size_t i = 0; i < dy.size(); ++i)
    db[i % channels] += dy[i];
  return db;
}

}  // namespace dnas::reference
