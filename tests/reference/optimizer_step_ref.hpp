#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dnas::reference {

struct Sgd {
  double learning_rate, momentum, weight_decay, scale;
};

inline void sgd(const Sgd& s, std::span<const double> grad, std::vector<double>& buffer, std::vector<double>& w) {
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double g = s.scale * grad[i] + s.weight_decay * w[i];
    buffer[i] = s.momentum * buffer[i] + g;
    w[i] -= s.learning_rate * buffer[i];
  }
}

struct Adam {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
};

inline void adam(const Adam& s, std::int64_t t, std::span<const double> grad, std::vector<double>& m,
                 std::vector<double>& v, std::vector<double>& w) {
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double g = grad[i] + s.weight_decay * w[i];
    m[i] = s.beta1 * m[i] + (1.0 - s.beta1) * g;
    v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * g * g;
    const double m_hat = m[i] / (1.0 - std::pow(s.beta1, static_cast<double>(t)));
    const double v_hat = v[i] / (1.0 - std::pow(s.beta2, static_cast<double>(t)));
    w[i] -= s.learning_rate * m_hat / (std::sqrt(v_hat) + s.epsilon);
  }
}

}  // namespace dnas::reference
