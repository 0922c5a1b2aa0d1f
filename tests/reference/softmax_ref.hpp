#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

/// Of each row of [rows, entries].
inline std::vector<double> softmax(std::span<const double> x, std::size_t entries) {
  std::vector<double> p(x.size());
  for (std::size_t r = 0; r < x.size(); r += entries) {
    const auto row = x.subspan(r, entries);
    const double max = *std::ranges::max_element(row);
    double sum = 0.0;
    for (const double v : row)
      sum += std::exp(v - max);
    for (std::size_t k = 0; k < entries; ++k)
      p[r + k] = std::exp(row[k] - max) / sum;
  }
  return p;
}

}  // namespace dnas::reference
