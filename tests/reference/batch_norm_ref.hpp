#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

struct BatchStatistics {
  std::vector<double> mean;
  std::vector<double> variance;  ///< biased
};

/// x: [pixels, channels]. Two passes, so that no digits cancel.
inline BatchStatistics batch_statistics(std::span<const double> x, std::size_t channels) {
  const std::size_t pixels = x.size() / channels;
  BatchStatistics s{std::vector<double>(channels, 0.0), std::vector<double>(channels, 0.0)};
  for (std::size_t p = 0; p < pixels; ++p)
    for (std::size_t c = 0; c < channels; ++c)
      s.mean[c] += x[p * channels + c];
  for (double& m : s.mean)
    m /= static_cast<double>(pixels);
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t c = 0; c < channels; ++c) {
      const double d = x[p * channels + c] - s.mean[c];
      s.variance[c] += d * d;
    }
  }
  for (double& v : s.variance)
    v /= static_cast<double>(pixels);
  return s;
}

/// gamma * (x - mean) / sqrt(variance + epsilon) + beta
inline std::vector<double> batch_norm(std::span<const double> x, const BatchStatistics& s,
                                      std::span<const double> gamma, std::span<const double> beta, double epsilon) {
  const std::size_t channels = s.mean.size();
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    y[i] = gamma[c] * (x[i] - s.mean[c]) / std::sqrt(s.variance[c] + epsilon) + beta[c];
  }
  return y;
}

struct BatchNormGradients {
  std::vector<double> x;
  std::vector<double> gamma;
  std::vector<double> beta;
};

/// The gradient through the batch statistics, by the chain rule through variance and mean one after the other.
inline BatchNormGradients batch_norm_gradients(std::span<const double> x, std::span<const double> gamma, double epsilon,
                                               std::span<const double> dy) {
  const std::size_t channels = gamma.size();
  const std::size_t pixels = x.size() / channels;
  const auto m = static_cast<double>(pixels);
  const BatchStatistics s = batch_statistics(x, channels);
  BatchNormGradients g{std::vector<double>(x.size()), std::vector<double>(channels, 0.0),
                       std::vector<double>(channels, 0.0)};
  for (std::size_t c = 0; c < channels; ++c) {
    const double deviation = std::sqrt(s.variance[c] + epsilon);
    double d_variance = 0.0;
    double d_mean = 0.0;
    for (std::size_t p = 0; p < pixels; ++p) {
      const std::size_t i = p * channels + c;
      const double centred = x[i] - s.mean[c];
      g.beta[c] += dy[i];
      g.gamma[c] += dy[i] * centred / deviation;
      d_variance += dy[i] * gamma[c] * centred * -0.5 / (deviation * deviation * deviation);
      d_mean += dy[i] * gamma[c] * -1.0 / deviation;
    }
    for (std::size_t p = 0; p < pixels; ++p) {
      const std::size_t i = p * channels + c;
      g.x[i] = dy[i] * gamma[c] / deviation + d_variance * 2.0 * (x[i] - s.mean[c]) / m + d_mean / m;
    }
  }
  return g;
}

/// The gradient where the statistics are constants.
inline BatchNormGradients batch_norm_inference_gradients(std::span<const double> x, const BatchStatistics& s,
                                                         std::span<const double> gamma, double epsilon,
                                                         std::span<const double> dy) {
  const std::size_t channels = gamma.size();
  BatchNormGradients g{std::vector<double>(x.size()), std::vector<double>(channels, 0.0),
                       std::vector<double>(channels, 0.0)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    const double deviation = std::sqrt(s.variance[c] + epsilon);
    g.x[i] = dy[i] * gamma[c] / deviation;
    g.gamma[c] += dy[i] * (x[i] - s.mean[c]) / deviation;
    g.beta[c] += dy[i];
  }
  return g;
}

}  // namespace dnas::reference
