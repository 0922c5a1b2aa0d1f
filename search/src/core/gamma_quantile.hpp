#pragma once

namespace dnas::search {

/// log x where P(c, x) = u, and its derivative by c with u held fixed; P is the distribution function of the gamma
/// distribution of shape c and scale 1. With a uniform u, exp(log_x) is a sample of it, and `derivative` is its
/// pathwise (implicitly reparameterised) derivative.
///
/// Logarithms, because x is as small as exp(-20/c): the samples of a small shape have none but relative sizes.
struct GammaQuantile {
  double log_x = 0.0;
  double derivative = 0.0;
};

/// @param c  more than 0; the cost grows with its square root
/// @param u  in (0, 1). Both results lose digits with 1 - u: at 2^-33 some six remain
[[nodiscard]] GammaQuantile gamma_quantile(double c, double u);

}  // namespace dnas::search
