#pragma once

#include "reference/depthwise_conv_ref.hpp"
#include "reference/pointwise_conv_ref.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

// One depthwise-separable convolution of a bundle, operation by operation, in double precision.
namespace dnas::reference {

/// Mean and biased variance per channel of x [pixels, C].
struct Moments {
  std::vector<double> mean;
  std::vector<double> var;

  Moments(const std::vector<double>& x, std::int64_t channels)
      : mean(static_cast<std::size_t>(channels)), var(static_cast<std::size_t>(channels)) {
    const std::size_t c = mean.size();
    const double pixels = static_cast<double>(x.size() / c);
    for (std::size_t i = 0; i < x.size(); ++i)
      mean[i % c] += x[i] / pixels;
    for (std::size_t i = 0; i < x.size(); ++i)
      var[i % c] += (x[i] - mean[i % c]) * (x[i] - mean[i % c]) / pixels;
  }
  [[nodiscard]] double rstd(std::size_t channel, double epsilon) const {
    return 1.0 / std::sqrt(var[channel] + epsilon);
  }
};

/// Rows of a normalisation gradient times g and y: scale * g + slope * (y - mean) + offset; rows [4, C] in this order.
inline std::vector<double> form_gradient(const std::vector<double>& rows, const std::vector<double>& g,
                                         const std::vector<double>& y) {
  const std::size_t c = rows.size() / 4;
  std::vector<double> dy(g.size());
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::size_t k = i % c;
    dy[i] = rows[k] * g[i] + rows[c + k] * (y[i] - rows[2 * c + k]) + rows[3 * c + k];
  }
  return dy;
}

class SeparableTerm {
 public:
  SeparableTerm(const kernels::DepthwiseConv& conv, const Shape& x, std::int64_t out_channels)
      : conv_(conv), x_(x), d_(conv.output_shape(x)), pointwise_{d_, {d_[0], d_[1], d_[2], out_channels}, 1, 0} {}

  [[nodiscard]] const Shape& y_shape() const { return pointwise_.y; }
  [[nodiscard]] std::vector<double> forward(const std::vector<double>& z, const std::vector<double>& filter,
                                            const std::vector<double>& weights) const {
    return pointwise_conv_forward(pointwise_, depthwise_conv_forward(conv_, x_, d_, z, filter), weights);
  }
  struct Gradients {
    std::vector<double> filter;
    std::vector<double> weights;
    std::vector<double> z;
  };
  [[nodiscard]] Gradients backward(const std::vector<double>& z, const std::vector<double>& filter,
                                   const std::vector<double>& weights, const std::vector<double>& dy) const {
    const std::vector<double> d = depthwise_conv_forward(conv_, x_, d_, z, filter);
    const std::vector<double> dd = pointwise_conv_backward_data(pointwise_, dy, weights);
    return {depthwise_conv_backward_weight(conv_, x_, d_, z, dd), pointwise_conv_backward_weight(pointwise_, d, dy),
            depthwise_conv_backward_data(conv_, x_, d_, dd, filter)};
  }

 private:
  kernels::DepthwiseConv conv_;
  Shape x_;
  Shape d_;
  PointwiseConvProblem pointwise_;
};

}  // namespace dnas::reference
