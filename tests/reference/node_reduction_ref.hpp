#pragma once

#include "reference/normalisation_ref.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace dnas::reference {

struct ReductionTerm {
  std::vector<double> x;
  std::optional<Normalisation> normalisation;
  double weight;
};

inline std::vector<double> mixed_value(const ReductionTerm& term) {
  return term.normalisation ? normalise(term.x, *term.normalisation) : term.x;
}

/// sum_k weight_k * norm_k(x_k)
inline std::vector<double> node_reduction(std::span<const ReductionTerm> terms) {
  std::vector<double> y(terms[0].x.size(), 0.0);
  for (const ReductionTerm& term : terms) {
    const std::vector<double> value = mixed_value(term);
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] += term.weight * value[i];
  }
  return y;
}

/// dL/d(weight) = sum g * norm(x)
inline double mixing_gradient(const ReductionTerm& term, std::span<const double> g) {
  const std::vector<double> value = mixed_value(term);
  double sum = 0.0;
  for (std::size_t i = 0; i < value.size(); ++i)
    sum += g[i] * value[i];
  return sum;
}

}  // namespace dnas::reference
