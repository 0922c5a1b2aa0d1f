#pragma once

#include "dnas/search/config.hpp"
#include "dnas/search/relaxation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace dnas::search::testing_relaxations {

inline constexpr float absent = -std::numeric_limits<float>::infinity();

/// A relaxation and the matrices it works on. Outputs start as NaN.
class Bench {
 public:
  Bench(std::string_view part, std::int64_t rows, std::int64_t columns)
      : relaxation(make_part(relaxations(), parse_part(part))),
        shape{rows, columns},
        alpha(static_cast<std::size_t>(rows * columns), 0.0F),
        weights(alpha.size(), std::numeric_limits<float>::quiet_NaN()),
        dweights(alpha.size(), 0.0F),
        dalpha(alpha.size(), std::numeric_limits<float>::quiet_NaN()) {
    in.alpha = view(alpha);
  }

  [[nodiscard]] TensorView view(std::vector<float>& values) const { return {values.data(), shape}; }

  /// Keys the noise, as the steps of a search do.
  void draw(std::uint32_t number) { in.noise = Philox(7, Stream::relaxation, number); }
  /// The uniform number of an entry: the one word in 2^32, in the middle of its interval.
  [[nodiscard]] double uniform(std::size_t entry) const {
    return (in.noise(in.first_element + entry)[0] + 0.5) / 4294967296.0;
  }
  [[nodiscard]] double gumbel(std::size_t entry) const { return -std::log(-std::log(uniform(entry))); }

  void forward() { relaxation->forward(ctx, in, view(weights)); }
  void backward() { relaxation->backward(ctx, in, view(weights), view(dweights), view(dalpha)); }
  [[nodiscard]] std::vector<std::uint8_t> support() {
    std::vector<std::uint8_t> runs(alpha.size(), 7);
    relaxation->support(in, view(weights), runs);
    return runs;
  }
  /// As after a step of an architecture optimizer that made `values` of alpha.
  [[nodiscard]] std::vector<float> updated(std::vector<float> values) {
    relaxation->updated(in, view(values));
    return values;
  }

  std::unique_ptr<Relaxation> relaxation;
  Shape shape;
  std::vector<float> alpha, weights, dweights, dalpha;
  RelaxationInput in;
  Context ctx = Context::cpu(1);
};

inline void fill_normal(std::vector<float>& values, unsigned seed, double deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  for (float& value : values)
    value = static_cast<float>(normal(random));
}

inline std::vector<double> softmax(std::span<const double> logits) {
  double total = 0.0;
  for (const double x : logits)
    total += std::exp(x);
  std::vector<double> p;
  for (const double x : logits)
    p.push_back(std::exp(x) / total);
  return p;
}

/// Central difference of a function of one vector, by its k-th entry.
inline double difference(const std::function<double(const std::vector<double>&)>& f, std::vector<double> at,
                         std::size_t k, double step = 1e-5) {
  const double middle = at[k];
  at[k] = middle + step;
  const double above = f(at);
  at[k] = middle - step;
  return (above - f(at)) / (2.0 * step);
}

/// Pearson's statistic: sum of (count - expected)^2 / expected.
inline double chi_square(std::span<const double> counts, std::span<const double> probabilities) {
  double samples = 0.0;
  for (const double count : counts)
    samples += count;
  double statistic = 0.0;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    const double expected = samples * probabilities[k];
    statistic += (counts[k] - expected) * (counts[k] - expected) / expected;
  }
  return statistic;
}

/// What chi_square() stays below in 999 of 1000 cases, by Wilson and Hilferty; good to 1 % from 3 degrees of freedom.
inline double chi_square_limit(double degrees) {
  const double h = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1.0 - h + 3.0902 * std::sqrt(h), 3.0);
}

}  // namespace dnas::search::testing_relaxations
