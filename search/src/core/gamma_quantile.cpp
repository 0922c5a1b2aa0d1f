#include "core/gamma_quantile.hpp"

#include <cmath>
#include <limits>
#include <numbers>

namespace dnas::search {

namespace {

struct Function {
  double value;
  double derivative;
};

/// log Gamma(z) and its derivative for z >= 1: Stirling's series at z + n >= 12 and the recurrence down to z.
Function log_gamma(double z) {
  double product = 1.0;
  double sum = 0.0;
  for (; z < 12.0; z += 1.0) {
    product *= z;
    sum += 1.0 / z;
  }
  const double r = 1.0 / (z * z);
  const double tail = (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / z;
  const double slope = r * (1.0 / 12 - r * (1.0 / 120 - r * (1.0 / 252 - r * (1.0 / 240 - r / 132))));
  return {(z - 0.5) * std::log(z) - z + 0.5 * std::log(2.0 * std::numbers::pi) + tail - std::log(product),
          std::log(z) - 0.5 / z - slope - sum};
}

/// S(x) = sum over n of x^n / ((c+1) ... (c+n)), all terms positive, and its derivative by c.
Function series(double c, double x) {
  double term = 1.0;
  double harmonic = 0.0;  // -d log term / dc
  Function sum{1.0, 0.0};
  for (double n = 1.0; term * (1.0 + harmonic) > 1e-17 * sum.value || x > c + n; n += 1.0) {
    term *= x / (c + n);
    harmonic += 1.0 / (c + n);
    sum.value += term;
    sum.derivative -= term * harmonic;
  }
  return sum;
}

}  // namespace

GammaQuantile gamma_quantile(double c, double u) {
  // P(c, x) = x^c exp(-x) S(x) / Gamma(c + 1)
  const Function gamma = log_gamma(c + 1.0);
  const double log_u = std::log(u);
  // P <= x^c / Gamma(c + 1) makes this a lower bound. log P is concave in log x, so Newton's steps from there go up and
  // never past the solution; one that does not go up is rounding.
  double log_x = (log_u + gamma.value) / c;
  Function s = series(c, std::exp(log_x));
  constexpr int enough = 200;  // a step adds at least about 1 to x in the upper tail, where they are the shortest
  for (int i = 0; i < enough; ++i) {
    const double x = std::exp(log_x);
    const double log_p = c * log_x - x - gamma.value + std::log(s.value);
    const double step = (log_u - log_p) * s.value / c;  // d log P / d log x = c / S
    if (!(step > 4.0 * std::numeric_limits<double>::epsilon() * (1.0 + std::abs(log_x)))) break;
    log_x += step;
    s = series(c, std::exp(log_x));
  }
  // 0 = d log P = (log x - psi(c + 1) + S'/S) dc + (c / S) d log x
  return {log_x, -(log_x - gamma.derivative + s.derivative / s.value) * s.value / c};
}

}  // namespace dnas::search
