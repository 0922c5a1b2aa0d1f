#pragma once

#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/loss_term.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace dnas::search {

/// The neighbourhood of the relaxed weights that perturbations stay in.
/// Source: Chen and Hsieh 2020, arXiv:2002.05283, and the code released with it.
class WeightBall {
 public:
  /// Options "first" and "last". @throws ConfigError if they are not within [0, 1]
  WeightBall(std::string_view part, const Options& options);

  /// first + (last - first) * e/E: the largest change of an entry.
  [[nodiscard]] double radius(const LossTerm::Moment& moment) const;

 private:
  double first_;
  double last_;
};

/// Draws of U[-radius, radius] for the entries of a group.
[[nodiscard]] std::vector<float> uniform_delta(std::int64_t entries, double radius, const Philox& noise,
                                               std::size_t group);

/// weights = clip(weights + delta, 0, 1), each row divided by its sum. Candidates of weight 0 that are absent stay so:
/// where the weight is exactly 0, nothing is added. A row that vanishes stays as it was.
void add_and_project(const TensorView& weights, std::span<const float> delta);

}  // namespace dnas::search
