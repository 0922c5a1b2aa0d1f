#include "core/relaxation_rows.hpp"

#include "dnas/kernels/error.hpp"
#include "dnas/kernels/softmax.hpp"
#include "dnas/search/space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace dnas::search::family::relaxations {
namespace {

constexpr std::size_t nobody = static_cast<std::size_t>(-1);
constexpr double absent = -std::numeric_limits<double>::infinity();

/// What was drawn for an edge.
struct Sample {
  std::size_t active = nobody;  ///< nobody: the edge has no candidates
  std::size_t other = nobody;   ///< the inactive one of two

  [[nodiscard]] bool has(std::size_t k) const noexcept { return k == active || k == other; }
};

/// A binary gate on each edge: one candidate, sampled from p = softmax(alpha), has weight 1. In the weight step it
/// alone runs. The architecture step takes the gradient G of the gates for that of the probabilities:
///
///   full  every candidate runs, the others with weight 0:  dalpha_i = sum_j G_j p_j (delta_ij - p_i)
///   two   only two run, sampled without replacement, of which the active one is drawn from their softmax q; the same
///         formula with q. After the update both alphas are shifted so that the sum of their exponentials, and with it
///         the probability of every other candidate, is what it was.
///
/// An edge whose active candidate is named `zero` (the skipped layer of the paper's space) keeps its alpha. So does, in
/// mode two, each candidate but the two: momentum, weight decay or a loss term must not move it.
class Gate final : public Relaxation {
 public:
  explicit Gate(bool two) : two_(two) {}

  [[nodiscard]] std::int64_t runs_at_most(Phase phase) const override {
    if (phase != Phase::arch_step) return 1;
    return two_ ? 2 : 0;
  }

 protected:
  void do_forward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& weights) const override {
    std::vector<double> row(columns(in));
    for (std::int64_t edge = 0; edge < weights.shape[0]; ++edge) {
      const Sample sample = draw(in, edge);
      std::ranges::fill(row, 0.0);
      if (sample.active != nobody) row[sample.active] = 1.0;
      write_row(row, weights, edge);
    }
  }

  void do_expected(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const override {
    kernels::softmax_forward(ctx, in.alpha, weights);
  }

  void do_support(const RelaxationInput& in, const TensorView& weights, std::span<std::uint8_t> runs) const override {
    if (runs_at_most(in.phase) == 0) return;
    for (std::int64_t edge = 0; edge < weights.shape[0]; ++edge) {
      const Sample sample = draw(in, edge);
      for (std::size_t k = 0; k < columns(in); ++k)
        runs[static_cast<std::size_t>(edge) * columns(in) + k] = sample.has(k) ? 1 : 0;
    }
  }

  void do_backward(const Context& /*ctx*/, const RelaxationInput& in, const TensorView& /*weights*/,
                   const TensorView& dweights, const TensorView& dalpha) const override {
    std::vector<double> p(columns(in));
    std::vector<double> gradient(columns(in));
    for (std::int64_t edge = 0; edge < dalpha.shape[0]; ++edge) {
      const Sample sample = draw(in, edge);
      read_row(in.alpha, edge, p);
      for (std::size_t k = 0; k < p.size(); ++k) {
        if (pair_only(in) && !sample.has(k)) p[k] = absent;
      }
      softmax_row(p);
      read_row(dweights, edge, gradient);
      softmax_row_gradient(p, gradient, 1.0, gradient);
      if (idle(in, edge, sample)) std::ranges::fill(gradient, 0.0);
      write_row(gradient, dalpha, edge);
    }
  }

  void do_updated(const RelaxationInput& before, const TensorView& alpha) const override {
    const std::int64_t entries = alpha.shape[1];
    for (std::int64_t edge = 0; edge < alpha.shape[0]; ++edge) {
      const Sample sample = draw(before, edge);
      const std::span<float> now(alpha.f32() + edge * entries, columns(before));
      const std::span<const float> old(before.alpha.f32() + edge * entries, columns(before));
      const bool nothing = idle(before, edge, sample);
      for (std::size_t k = 0; k < now.size(); ++k) {
        const bool stays = nothing || (pair_only(before) && !sample.has(k));
        if (stays && old[k] != static_cast<float>(absent)) now[k] = old[k];
      }
      if (pair_only(before) && !nothing && sample.other != nobody) restore_sum(sample, old, now);
    }
  }

 private:
  [[nodiscard]] bool pair_only(const RelaxationInput& in) const noexcept {
    return two_ && in.phase == Phase::arch_step;
  }

  /// The same for the same input: forward, backward and update agree on it.
  [[nodiscard]] Sample draw(const RelaxationInput& in, std::int64_t edge) const {
    std::vector<double> row(columns(in));
    gumbel_row(in, edge, row);
    const auto take_best = [&row] {
      const auto best = std::ranges::max_element(row);
      if (*best == absent) return nobody;
      *best = absent;
      return static_cast<std::size_t>(best - row.begin());
    };
    Sample sample{.active = take_best()};
    if (!pair_only(in)) return sample;
    sample.other = take_best();
    if (sample.other == nobody) return sample;
    // The order in which the two came up says nothing about which is active: that is a draw of its own, whose elements
    // lie behind those of the entries.
    const float* const alpha = in.alpha.f32() + edge * in.alpha.shape[1];
    const double q = 1.0 / (1.0 + std::exp(static_cast<double>(alpha[sample.other]) - alpha[sample.active]));
    if (open_uniform(in, static_cast<std::uint64_t>(in.alpha.elements() + edge)) > q)
      std::swap(sample.active, sample.other);
    return sample;
  }

  /// The architecture step leaves the edge as it is.
  [[nodiscard]] static bool idle(const RelaxationInput& in, std::int64_t edge, const Sample& sample) {
    if (in.phase != Phase::arch_step || in.choices == nullptr || sample.active == nobody) return false;
    return in.choices->edges[static_cast<std::size_t>(edge)].candidates[sample.active] == "zero";
  }

  static void restore_sum(const Sample& sample, std::span<const float> old, std::span<float> now) {
    const auto log_sum = [&sample](std::span<const float> alpha) {
      const double a = alpha[sample.active];
      const double b = alpha[sample.other];
      return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
    };
    const double shift = log_sum(now) - log_sum(old);
    for (const std::size_t k : {sample.active, sample.other})
      now[k] = static_cast<float>(now[k] - shift);
  }

  bool two_;
};

}  // namespace

void register_gate(Registry<Component<Relaxation>>& registry) {
  registry.add({.name = "gate",
                .help = "a binary gate: weight steps run one sampled candidate, architecture steps all (full) or two",
                .source = "Cai et al. 2019 (ProxylessNAS), arXiv:1812.00332; mode two as in the released code",
                .defaults = {{"mode", std::string("full")}},
                .make = [](const Options& options) {
                  const std::string& mode = options.text("mode");
                  if (mode != "full" && mode != "two")
                    throw ConfigError(fmt::format("gate: mode is '{}', expected full or two", mode));
                  return std::make_unique<Gate>(mode == "two");
                }});
}

}  // namespace dnas::search::family::relaxations
