#include "dnas/kernels/error.hpp"
#include "dnas/search/loss_term.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dnas::search::family::loss_terms {
namespace {

/// coefficient(e) * mean over all edges of log sum_o exp(alpha_o): a decay of the softmax's weights rather than of
/// alpha, since its gradient is softmax(alpha) / edges. coefficient(e) = weight * e / epochs, however long the search
/// is.
class BetaDecay final : public LossTerm {
 public:
  explicit BetaDecay(double per_epoch) : per_epoch_(per_epoch) {}

 protected:
  void do_add(const Context& /*ctx*/, const Moment& moment, std::span<const Group> groups, Sum& sum) const override {
    std::int64_t edges = 0;
    for (const Group& group : groups)
      edges += group.alpha.shape[0];
    const double coefficient = per_epoch_ * static_cast<double>(moment.epoch) / static_cast<double>(edges);
    for (const Group& group : groups) {
      const std::int64_t columns = group.alpha.shape[1];
      for (std::int64_t edge = 0; edge < group.alpha.shape[0]; ++edge)
        add_edge(coefficient, columns, group.alpha.f32() + edge * columns, group.dalpha.f32() + edge * columns, sum);
    }
  }

 private:
  static void add_edge(double coefficient, std::int64_t columns, const float* alpha, float* dalpha, Sum& sum) {
    const double largest = *std::max_element(alpha, alpha + columns);
    if (std::isinf(largest)) return;  // an edge without candidates
    double total = 0.0;
    for (std::int64_t k = 0; k < columns; ++k)
      total += std::exp(alpha[k] - largest);
    sum.value += coefficient * (largest + std::log(total));
    for (std::int64_t k = 0; k < columns; ++k)
      dalpha[k] += static_cast<float>(coefficient * std::exp(alpha[k] - largest) / total);
  }

  double per_epoch_;
};

}  // namespace

void register_beta_decay(Registry<Component<LossTerm>>& registry) {
  registry.add({.name = "beta_decay",
                .help = "mean over the edges of logsumexp(alpha), with a weight that grows linearly from 0",
                .source = "Ye et al. 2022 (beta-DARTS), arXiv:2203.01665; growth as in the released code",
                .defaults = {{"weight", 50.0}, {"epochs", 100.0}},
                .make = [](const Options& options) -> std::unique_ptr<LossTerm> {
                  const double epochs = options.number("epochs");
                  if (!(epochs > 0.0)) {
                    throw ConfigError(fmt::format("beta_decay: epochs is {}, expected more than 0", epochs));
                  }
                  return std::make_unique<BetaDecay>(options.number("weight") / epochs);
                }});
}

}  // namespace dnas::search::family::loss_terms
