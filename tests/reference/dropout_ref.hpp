#pragma once

#include "dnas/kernels/rng.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dnas::reference {

/// x / (1 - rate) where the draw of its group of `group` elements is at least rate, else 0; group g draws at
/// first + g.
inline std::vector<double> drop(std::span<const double> x, float rate, const Philox& random, std::uint64_t first,
                                std::size_t group) {
  std::vector<double> y(x.size(), 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (random.uniform(first + i / group) >= rate) y[i] = x[i] / (1.0 - static_cast<double>(rate));
  }
  return y;
}

}  // namespace dnas::reference
