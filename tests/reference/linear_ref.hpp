#pragma once

#include <cstddef>
#include <span>
#include <vector>

// Fully connected layer: the obvious loops. x [N, I], w [O, I], b [O], y [N, O].
namespace dnas::reference {

struct LinearProblem {
  std::size_t samples;
  std::size_t inputs;
  std::size_t outputs;
};

inline std::vector<double> linear_forward(const LinearProblem& problem, std::span<const double> x,
                                          std::span<const double> w, std::span<const double> b) {
  const auto& [samples, inputs, outputs] = problem;
  std::vector<double> y(samples * outputs);
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = b.empty() ? 0.0 : b[o];
      for (std::size_t i = 0; i < inputs; ++i)
        sum += x[n * inputs + i] * w[o * inputs + i];
      y[n * outputs + o] = sum;
    }
  }
  return y;
}

inline std::vector<double> linear_backward_data(const LinearProblem& problem, std::span<const double> dy,
                                                std::span<const double> w) {
  const auto& [samples, inputs, outputs] = problem;
  std::vector<double> dx(samples * inputs, 0.0);
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t o = 0; o < outputs; ++o)
        dx[n * inputs + i] += dy[n * outputs + o] * w[o * inputs + i];
    }
  }
  return dx;
}

inline std::vector<double> linear_backward_weight(const LinearProblem& problem, std::span<const double> x,
                                                  std::span<const double> dy) {
  const auto& [samples, inputs, outputs] = problem;
  std::vector<double> dw(outputs * inputs, 0.0);
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t n = 0; n < samples; ++n)
        dw[o * inputs + i] += dy[n * outputs + o] * x[n * inputs + i];
    }
  }
  return dw;
}

inline std::vector<double> linear_backward_bias(const LinearProblem& problem, std::span<const double> dy) {
  std::vector<double> db(problem.outputs, 0.0);
  for (std::size_t n = 0; n < problem.samples; ++n) {
    for (std::size_t o = 0; o < problem.outputs; ++o)
      db[o] += dy[n * problem.outputs + o];
  }
  return db;
}

}  // namespace dnas::reference
