#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

namespace dnas::kernels {

/// Where an operation inside a network takes its random numbers from: Philox (rng.hpp) keyed by (seed, Stream::network,
/// step), element i of the operation's tensor at position site * 2^40 + i, in row-major order without gaps. So draws
/// depend neither on threads nor on the layout, and running an operation again repeats them.
struct Draws {
  TensorView random;      ///< [2] i64: seed, and step in [0, 2^32); memory, because they change from step to step
  std::int64_t site = 0;  ///< the operation's own number, in [0, max_sites)
};

inline constexpr std::int64_t max_sites = std::int64_t{1} << 24;
inline constexpr std::int64_t max_site_elements = std::int64_t{1} << 40;

}  // namespace dnas::kernels
