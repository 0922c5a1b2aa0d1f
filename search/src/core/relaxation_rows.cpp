#include "core/relaxation_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace dnas::search {

void softmax_row(std::span<double> row, double tau) {
  const double largest = *std::ranges::max_element(row);
  if (largest == -std::numeric_limits<double>::infinity()) {
    std::ranges::fill(row, 0.0);
    return;
  }
  double total = 0.0;
  for (double& value : row) {
    value = std::exp((value - largest) / tau);
    total += value;
  }
  for (double& value : row)
    value /= total;
}

void softmax_row_gradient(std::span<const double> p, std::span<const double> dp, double tau,
                          std::span<double> dlogits) {
  double mean = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k)
    mean += dp[k] * p[k];
  for (std::size_t k = 0; k < p.size(); ++k)
    dlogits[k] = p[k] * (dp[k] - mean) / tau;
}

double open_uniform(const RelaxationInput& in, std::uint64_t element) {
  return (in.noise(in.first_element + element)[0] + 0.5) * 0x1p-32;
}

void gumbel_row(const RelaxationInput& in, std::int64_t edge, std::span<double> row) {
  read_row(in.alpha, edge, row);
  for (std::size_t k = 0; k < row.size(); ++k)
    row[k] -= std::log(-std::log(open_uniform(in, static_cast<std::uint64_t>(edge) * row.size() + k)));
}

void gumbel_softmax_row(const RelaxationInput& in, std::int64_t edge, std::span<double> row) {
  if (in.noise_free()) {
    read_row(in.alpha, edge, row);
    return softmax_row(row);
  }
  gumbel_row(in, edge, row);
  softmax_row(row, in.tau);
}

void gumbel_softmax_gradient(const RelaxationInput& in, const TensorView& dweights, const TensorView& dalpha) {
  std::vector<double> y(columns(in));
  std::vector<double> gradient(columns(in));
  for (std::int64_t edge = 0; edge < in.alpha.shape[0]; ++edge) {
    gumbel_softmax_row(in, edge, y);
    read_row(dweights, edge, gradient);
    softmax_row_gradient(y, gradient, in.noise_free() ? 1.0 : in.tau, gradient);
    write_row(gradient, dalpha, edge);
  }
}

void read_row(const TensorView& matrix, std::int64_t edge, std::span<double> row) {
  std::copy_n(matrix.f32() + edge * matrix.shape[1], row.size(), row.begin());
}

void write_row(std::span<const double> row, const TensorView& matrix, std::int64_t edge) {
  std::ranges::transform(row, matrix.f32() + edge * matrix.shape[1],
                         [](double value) { return static_cast<float>(value); });
}

}  // namespace dnas::search
