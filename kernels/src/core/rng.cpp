#include "dnas/kernels/rng.hpp"

#include <cmath>
#include <numbers>

namespace dnas {

float Philox::normal(std::uint64_t element) const noexcept {
  const auto words = (*this)(element);
  // In f64, so that the value does not depend on which vector maths library the compiler picks.
  const double u = (static_cast<double>(words[0]) + 0.5) * 0x1.0p-32;  // (0, 1): log is finite
  const double v = static_cast<double>(words[1]) * 0x1.0p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

}  // namespace dnas
