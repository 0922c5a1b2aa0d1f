#pragma once

#include "dnas/kernels/depthwise_conv.hpp"

#include <cstdint>
#include <vector>

namespace dnas::reference {

/// Calls visit(x_index, w_index, y_index) for every product of the convolution; all tensors dense and row-major.
template <typename Visit>
void for_each_product(const kernels::DepthwiseConv& conv, const Shape& x, const Shape& y, Visit visit) {
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t i = 0; i < y[1]; ++i) {
      for (std::int64_t j = 0; j < y[2]; ++j) {
        for (std::int64_t a = 0; a < conv.kernel; ++a) {
          for (std::int64_t b = 0; b < conv.kernel; ++b) {
            const std::int64_t row = i * conv.stride - conv.padding + a * conv.dilation;
            const std::int64_t col = j * conv.stride - conv.padding + b * conv.dilation;
            if (row < 0 || row >= x[1] || col < 0 || col >= x[2]) continue;
            for (std::int64_t c = 0; c < x[3]; ++c) {
              visit(((n * x[1] + row) * x[2] + col) * x[3] + c, (a * conv.kernel + b) * x[3] + c,
                    ((n * y[1] + i) * y[2] + j) * y[3] + c);
            }
          }
        }
      }
    }
  }
}

inline std::vector<double> depthwise_conv_forward(const kernels::DepthwiseConv& conv, const Shape& x_shape,
                                                  const Shape& y_shape, const std::vector<double>& x,
                                                  const std::vector<double>& w) {
  std::vector<double> y(static_cast<std::size_t>(y_shape.elements()), 0.0);
  for_each_product(conv, x_shape, y_shape, [&](auto xi, auto wi, auto yi) {
    y[static_cast<std::size_t>(yi)] += x[static_cast<std::size_t>(xi)] * w[static_cast<std::size_t>(wi)];
  });
  return y;
}

inline std::vector<double> depthwise_conv_backward_data(const kernels::DepthwiseConv& conv, const Shape& x_shape,
                                                        const Shape& y_shape, const std::vector<double>& dy,
                                                        const std::vector<double>& w) {
  std::vector<double> dx(static_cast<std::size_t>(x_shape.elements()), 0.0);
  for_each_product(conv, x_shape, y_shape, [&](auto xi, auto wi, auto yi) {
    dx[static_cast<std::size_t>(xi)] += dy[static_cast<std::size_t>(yi)] * w[static_cast<std::size_t>(wi)];
  });
  return dx;
}

inline std::vector<double> depthwise_conv_backward_weight(const kernels::DepthwiseConv& conv, const Shape& x_shape,
                                                          const Shape& y_shape, const std::vector<double>& x,
                                                          const std::vector<double>& dy) {
  std::vector<double> dw(static_cast<std::size_t>(conv.kernel * conv.kernel * x_shape[3]), 0.0);
  for_each_product(conv, x_shape, y_shape, [&](auto xi, auto wi, auto yi) {
    dw[static_cast<std::size_t>(wi)] += x[static_cast<std::size_t>(xi)] * dy[static_cast<std::size_t>(yi)];
  });
  return dw;
}

}  // namespace dnas::reference
