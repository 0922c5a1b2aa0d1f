#pragma once

#include "dnas/kernels/shape.hpp"

#include <cstdint>
#include <span>
#include <vector>

// 1x1 convolution, strided, shifted and grouped: the obvious loops. x [N, H, W, Cin], w [Cout, Cin / groups],
// y [N, H', W', Cout].
namespace dnas::reference {

struct PointwiseConvProblem {
  Shape x;
  Shape y;
  int stride = 1;
  int offset = 0;
  int groups = 1;
};

/// Calls body(element of x, element of w, element of y) for each product of the convolution.
template <typename Body>
void for_each_pointwise_product(const PointwiseConvProblem& problem, Body&& body) {
  const auto& [x, y, stride, offset, groups] = problem;
  const std::int64_t inputs = x[3] / groups;   // of one output
  const std::int64_t outputs = y[3] / groups;  // of one group
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t i = 0; i < y[1]; ++i) {
      for (std::int64_t j = 0; j < y[2]; ++j) {
        for (std::int64_t o = 0; o < y[3]; ++o) {
          for (std::int64_t c = 0; c < inputs; ++c) {
            const std::int64_t pixel = (n * x[1] + stride * i + offset) * x[2] + stride * j + offset;
            const std::int64_t from = pixel * x[3] + o / outputs * inputs + c;
            const std::int64_t to = ((n * y[1] + i) * y[2] + j) * y[3] + o;
            body(static_cast<std::size_t>(from), static_cast<std::size_t>(o * inputs + c),
                 static_cast<std::size_t>(to));
          }
        }
      }
    }
  }
}

inline std::vector<double> pointwise_conv_forward(const PointwiseConvProblem& problem, std::span<const double> x,
                                                  std::span<const double> w) {
  std::vector<double> y(static_cast<std::size_t>(problem.y.elements()), 0.0);
  for_each_pointwise_product(
      problem, [&](std::size_t from, std::size_t weight, std::size_t to) { y[to] += x[from] * w[weight]; });
  return y;
}

inline std::vector<double> pointwise_conv_backward_data(const PointwiseConvProblem& problem, std::span<const double> dy,
                                                        std::span<const double> w) {
  std::vector<double> dx(static_cast<std::size_t>(problem.x.elements()), 0.0);
  for_each_pointwise_product(
      problem, [&](std::size_t from, std::size_t weight, std::size_t to) { dx[from] += dy[to] * w[weight]; });
  return dx;
}

inline std::vector<double> pointwise_conv_backward_weight(const PointwiseConvProblem& problem,
                                                          std::span<const double> x, std::span<const double> dy) {
  std::vector<double> dw(static_cast<std::size_t>(problem.x[3] / problem.groups * problem.y[3]), 0.0);
  for_each_pointwise_product(
      problem, [&](std::size_t from, std::size_t weight, std::size_t to) { dw[weight] += x[from] * dy[to]; });
  return dw;
}

}  // namespace dnas::reference
