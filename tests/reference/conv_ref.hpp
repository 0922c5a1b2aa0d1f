#pragma once

#include "dnas/kernels/conv.hpp"
#include "dnas/kernels/shape.hpp"

#include <cstdint>
#include <span>
#include <vector>

// Full convolution: the obvious loops. x [N, H, W, Cin], w [Cout, kh, kw, Cin], y [N, H', W', Cout].
namespace dnas::reference {

struct ConvProblem {
  kernels::Conv conv;
  Shape x;
  Shape y;
};

/// Calls body(element of x, element of w, element of y) for each product of the convolution.
template <typename Body>
void for_each_conv_product(const ConvProblem& problem, Body&& body) {
  const auto& [conv, x, y] = problem;
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t i = 0; i < y[1]; ++i) {
      for (std::int64_t j = 0; j < y[2]; ++j) {
        for (std::int64_t o = 0; o < y[3]; ++o) {
          for (std::int64_t a = 0; a < conv.kernel_h; ++a) {
            for (std::int64_t b = 0; b < conv.kernel_w; ++b) {
              const std::int64_t row = i * conv.stride_h - conv.padding_h + a;
              const std::int64_t column = j * conv.stride_w - conv.padding_w + b;
              if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) continue;
              for (std::int64_t c = 0; c < x[3]; ++c) {
                const std::int64_t from = ((n * x[1] + row) * x[2] + column) * x[3] + c;
                const std::int64_t weight = ((o * conv.kernel_h + a) * conv.kernel_w + b) * x[3] + c;
                const std::int64_t to = ((n * y[1] + i) * y[2] + j) * y[3] + o;
                body(static_cast<std::size_t>(from), static_cast<std::size_t>(weight), static_cast<std::size_t>(to));
              }
            }
          }
        }
      }
    }
  }
}

inline std::vector<double> conv_forward(const ConvProblem& problem, std::span<const double> x,
                                        std::span<const double> w) {
  std::vector<double> y(static_cast<std::size_t>(problem.y.elements()), 0.0);
  for_each_conv_product(problem,
                        [&](std::size_t from, std::size_t weight, std::size_t to) { y[to] += x[from] * w[weight]; });
  return y;
}

inline std::vector<double> conv_backward_data(const ConvProblem& problem, std::span<const double> dy,
                                              std::span<const double> w) {
  std::vector<double> dx(static_cast<std::size_t>(problem.x.elements()), 0.0);
  for_each_conv_product(problem,
                        [&](std::size_t from, std::size_t weight, std::size_t to) { dx[from] += dy[to] * w[weight]; });
  return dx;
}

inline std::vector<double> conv_backward_weight(const ConvProblem& problem, std::span<const double> x,
                                                std::span<const double> dy) {
  const auto& conv = problem.conv;
  std::vector<double> dw(static_cast<std::size_t>(problem.y[3] * conv.kernel_h * conv.kernel_w * problem.x[3]), 0.0);
  for_each_conv_product(problem,
                        [&](std::size_t from, std::size_t weight, std::size_t to) { dw[weight] += x[from] * dy[to]; });
  return dw;
}

}  // namespace dnas::reference
