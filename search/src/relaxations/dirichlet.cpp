#include "core/gamma_quantile.hpp"
#include "core/relaxation_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace dnas::search::family::relaxations {
namespace {

/// weights ~ Dirichlet(c) along each edge with c = elu(alpha) + 1, that is alpha + 1 above 0 and exp(alpha) below; a
/// new sample in every step. Every candidate runs.
///
/// A sample is x / sum x with x_k ~ Gamma(c_k). Each x is the quantile of one uniform number, so its derivative by c
/// with that number fixed is the pathwise one, the same that implicit reparameterisation gives any other sampler. As
/// only log x is computed, x / sum x is softmax(log x), and no x underflows however small c is.
///
/// Without noise: softmax(alpha) to make it discrete, as the released code does, although that is not the mean; the
/// mean, c / sum c, to measure the supernet.
class Dirichlet final : public Relaxation {
 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    std::vector<double> row(columns(in));
    std::vector<double> slopes(columns(in));
    for (std::int64_t edge = 0; edge < weights.shape[0]; ++edge) {
      log_row(in, edge, row, slopes);
      softmax_row(row);
      for (double& weight : row)
        weight = std::max<double>(weight, smallest);  // what is there has a weight also in float
      write_row(row, weights, edge);
    }
  }

  void do_backward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    std::vector<double> row(columns(in));
    std::vector<double> slopes(columns(in));
    std::vector<double> gradient(columns(in));
    for (std::int64_t edge = 0; edge < dalpha.shape[0]; ++edge) {
      log_row(in, edge, row, slopes);
      softmax_row(row);
      read_row(dweights, edge, gradient);
      softmax_row_gradient(row, gradient, 1.0, gradient);
      for (std::size_t k = 0; k < row.size(); ++k)
        gradient[k] *= slopes[k];
      write_row(gradient, dalpha, edge);
    }
  }

 private:
  static constexpr float smallest = std::numeric_limits<float>::min();

  /// The numbers that the weights are the softmax of, and their derivatives by alpha.
  static void log_row(const RelaxationInput& in, std::int64_t edge, std::span<double> row, std::span<double> slopes) {
    read_row(in.alpha, edge, row);
    for (std::size_t k = 0; k < row.size(); ++k) {
      const double alpha = row[k];
      slopes[k] = 1.0;
      if (in.phase == Phase::expected || std::isinf(alpha)) continue;  // an absent candidate stays -inf
      const double c = alpha > 0.0 ? alpha + 1.0 : std::max<double>(std::exp(alpha), smallest);
      const double dc = alpha > 0.0 ? 1.0 : c;
      if (in.phase == Phase::evaluation) {
        row[k] = std::log(c);
        slopes[k] = dc / c;
        continue;
      }
      const auto element = static_cast<std::uint64_t>(edge) * row.size() + k;
      const GammaQuantile sample = gamma_quantile(c, open_uniform(in, element));
      row[k] = sample.log_x;
      slopes[k] = sample.derivative * dc;
    }
  }
};

}  // namespace

void register_dirichlet(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "dirichlet",
                .help = "a sample of Dirichlet(elu(alpha) + 1) with its pathwise gradient: every candidate runs",
                .source = "Chen et al. 2021 (DrNAS), arXiv:2006.10355; implicit gradient: Figurnov et al. 2018, "
                          "arXiv:1805.08498",
                .defaults = {},
                .make = [](const Options&) { return std::make_unique<Dirichlet>(); }});
}

}  // namespace dnas::search::family::relaxations
