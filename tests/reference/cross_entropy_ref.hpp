#pragma once

#include "reference/softmax_ref.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dnas::reference {

/// Mean over the rows of -sum_k target[k] * log p[k], target = (1 - smoothing) * onehot(label) + smoothing / classes.
inline double cross_entropy(std::span<const double> logits, std::span<const std::int64_t> labels, double smoothing) {
  const std::size_t rows = labels.size();
  const std::size_t classes = logits.size() / rows;
  const auto p = softmax(logits, classes);
  double loss = 0.0;
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t k = 0; k < classes; ++k) {
      const bool hit = static_cast<std::int64_t>(k) == labels[n];
      const double target = (hit ? 1.0 - smoothing : 0.0) + smoothing / static_cast<double>(classes);
      loss -= target * std::log(p[n * classes + k]);
    }
  }
  return loss / static_cast<double>(rows);
}

}  // namespace dnas::reference
