#pragma once

#include "dnas/kernels/pool.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

namespace dnas::reference {

/// Calls visit(position, x_index) for the positions of window (n, i, j, c) that lie in x, in order.
template <typename Visit>
void for_each_in_window(const kernels::Pool& pool, const Shape& x, std::int64_t n, std::int64_t i, std::int64_t j,
                        std::int64_t c, Visit visit) {
  for (std::int64_t a = 0; a < pool.kernel; ++a) {
    for (std::int64_t b = 0; b < pool.kernel; ++b) {
      const std::int64_t row = i * pool.stride - pool.padding + a;
      const std::int64_t col = j * pool.stride - pool.padding + b;
      if (row < 0 || row >= x[1] || col < 0 || col >= x[2]) continue;
      visit(a * pool.kernel + b, static_cast<std::size_t>(((n * x[1] + row) * x[2] + col) * x[3] + c));
    }
  }
}

/// Calls visit(n, i, j, c) in row-major order.
template <typename Visit>
void for_each_element(const Shape& y, Visit visit) {
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t i = 0; i < y[1]; ++i) {
      for (std::int64_t j = 0; j < y[2]; ++j) {
        for (std::int64_t c = 0; c < y[3]; ++c)
          visit(n, i, j, c);
      }
    }
  }
}

struct MaxPooled {
  std::vector<double> y;
  std::vector<std::uint8_t> argmax;
  std::vector<std::size_t> winner;  ///< index into x
};

inline MaxPooled max_pool_forward(const kernels::Pool& pool, const Shape& x_shape, const Shape& y_shape,
                                  const std::vector<double>& x) {
  MaxPooled result;
  for_each_element(y_shape, [&](auto n, auto i, auto j, auto c) {
    bool found = false;
    double best = 0.0;
    std::int64_t best_position = 0;
    std::size_t best_index = 0;
    for_each_in_window(pool, x_shape, n, i, j, c, [&](std::int64_t position, std::size_t index) {
      const bool first_nan = std::isnan(x[index]) && !std::isnan(best);
      if (!found || first_nan || x[index] > best) {
        found = true;
        best = x[index];
        best_position = position;
        best_index = index;
      }
    });
    result.y.push_back(best);
    result.argmax.push_back(static_cast<std::uint8_t>(best_position));
    result.winner.push_back(best_index);
  });
  return result;
}

inline std::vector<double> max_pool_backward(const MaxPooled& forward, const Shape& x_shape,
                                             const std::vector<double>& dy) {
  std::vector<double> dx(static_cast<std::size_t>(x_shape.elements()), 0.0);
  for (std::size_t o = 0; o < dy.size(); ++o)
    dx[forward.winner[o]] += dy[o];
  return dx;
}

inline std::vector<double> avg_pool_forward(const kernels::Pool& pool, const Shape& x_shape, const Shape& y_shape,
                                            const std::vector<double>& x) {
  std::vector<double> y;
  for_each_element(y_shape, [&](auto n, auto i, auto j, auto c) {
    double sum = 0.0;
    int count = 0;
    for_each_in_window(pool, x_shape, n, i, j, c, [&](std::int64_t, std::size_t index) {
      sum += x[index];
      ++count;
    });
    y.push_back(sum / count);
  });
  return y;
}

inline std::vector<double> avg_pool_backward(const kernels::Pool& pool, const Shape& x_shape, const Shape& y_shape,
                                             const std::vector<double>& dy) {
  std::vector<double> dx(static_cast<std::size_t>(x_shape.elements()), 0.0);
  std::size_t o = 0;
  for_each_element(y_shape, [&](auto n, auto i, auto j, auto c) {
    int count = 0;
    for_each_in_window(pool, x_shape, n, i, j, c, [&](std::int64_t, std::size_t) { ++count; });
    for_each_in_window(pool, x_shape, n, i, j, c, [&](std::int64_t, std::size_t index) { dx[index] += dy[o] / count; });
    ++o;
  });
  return dx;
}

inline std::vector<double> global_avg_pool_forward(const Shape& x_shape, const std::vector<double>& x) {
  std::vector<double> y(static_cast<std::size_t>(x_shape[0] * x_shape[3]), 0.0);
  std::size_t i = 0;
  for_each_element(x_shape, [&](auto n, auto, auto, auto c) {
    y[static_cast<std::size_t>(n * x_shape[3] + c)] += x[i++] / static_cast<double>(x_shape[1] * x_shape[2]);
  });
  return y;
}

inline std::vector<double> global_avg_pool_backward(const Shape& x_shape, const std::vector<double>& dy) {
  std::vector<double> dx;
  for_each_element(x_shape, [&](auto n, auto, auto, auto c) {
    dx.push_back(dy[static_cast<std::size_t>(n * x_shape[3] + c)] / static_cast<double>(x_shape[1] * x_shape[2]));
  });
  return dx;
}

}  // namespace dnas::reference
