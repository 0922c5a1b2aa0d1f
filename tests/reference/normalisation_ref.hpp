#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dnas::reference {

/// mean and rstd per channel
struct Normalisation {
  std::vector<double> mean;
  std::vector<double> rstd;
};

/// (x - mean) * rstd of x [pixels, channels]
inline std::vector<double> normalise(std::span<const double> x, const Normalisation& n) {
  const std::size_t channels = n.mean.size();
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] = (x[i] - n.mean[i % channels]) * n.rstd[i % channels];
  return y;
}

/// Rows of a normalisation gradient, one entry per channel each.
struct NormalisationGradient {
  std::vector<double> scale;
  std::vector<double> slope;
  std::vector<double> mean;
  std::vector<double> offset;
};

/// Of a loss that sees weight * (x - mean) * rstd, g being its gradient.
inline NormalisationGradient normalisation_gradient(std::span<const double> x, const Normalisation& n, double weight,
                                                    std::span<const double> g) {
  const std::size_t channels = n.mean.size();
  const double pixels = static_cast<double>(x.size() / channels);
  NormalisationGradient r{std::vector<double>(channels), std::vector<double>(channels), n.mean,
                          std::vector<double>(channels)};
  for (std::size_t c = 0; c < channels; ++c) {
    double s = 0.0;
    double q = 0.0;
    for (std::size_t i = c; i < x.size(); i += channels) {
      s += g[i];
      q += g[i] * (x[i] - n.mean[c]);
    }
    r.scale[c] = weight * n.rstd[c];
    r.slope[c] = -weight * n.rstd[c] * n.rstd[c] * n.rstd[c] * q / pixels;
    r.offset[c] = -weight * n.rstd[c] * s / pixels;
  }
  return r;
}

/// dx += scale * g + slope * (x - mean) + offset
inline void add_data_gradient(std::span<const double> x, std::span<const double> g, const NormalisationGradient& of,
                              std::vector<double>& dx) {
  const std::size_t channels = of.mean.size();
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const std::size_t c = i % channels;
    dx[i] += of.scale[c] * g[i] + of.slope[c] * (x[i] - of.mean[c]) + of.offset[c];
  }
}

}  // namespace dnas::reference
