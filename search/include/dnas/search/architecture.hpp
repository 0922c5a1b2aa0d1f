#pragma once

#include "dnas/kernels/buffer.hpp"
#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/edge_weighting.hpp"
#include "dnas/search/loss_term.hpp"
#include "dnas/search/relaxation.hpp"
#include "dnas/search/space.hpp"
#include "dnas/search/support.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dnas::search {

/// The architecture parameters of a search (alpha of every choice group, beta where the edge weighting has one), the
/// mixing weights they give, and the gradients on the way back. Everything a method invents about alpha happens here;
/// the supernet sees mixing weights only.
///
///   alpha -> relaxation -> weights -> edge weighting -> mix
///
/// mix has a column for each candidate and, behind them, the extra columns: weights of terms that are no candidates
/// (transform.hpp), coefficients that the caller sets and the edge weighting multiplies like any other.
class Architecture {
 public:
  Architecture(const Space& space, std::unique_ptr<const Relaxation> relaxation,
               std::unique_ptr<const EdgeWeighting> edge_weighting, std::int64_t extra_columns = 0);

  /// alpha and beta as relaxation and edge weighting start them, keyed by (seed, Stream::alpha_init).
  void initialise(std::uint64_t seed);

  /// All architecture parameters, and the gradient of the same layout, as flat arrays.
  [[nodiscard]] std::span<float> parameters() noexcept { return parameters_.f32().first(count_); }
  [[nodiscard]] std::span<float> gradient() noexcept { return gradient_.f32().first(count_); }

  struct Tensor {
    std::string name;  ///< "alphas_normal", "betas_normal"
    TensorView values;
    TensorView gradient;
  };
  [[nodiscard]] const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] const std::vector<ChoiceGroup>& groups() const noexcept { return *groups_; }
  /// [edges, candidates] of a group's alpha.
  [[nodiscard]] const Tensor& alpha(std::size_t group) const { return tensors_[alpha_[group]]; }

  /// Which candidates are still there: flags [edges, candidates] of a group. An edge may lose all of them.
  [[nodiscard]] std::span<const std::uint8_t> present(std::size_t group) const { return present_[group]; }
  /// @throws ConfigError if it never was there
  void set_present(std::size_t group, std::int64_t edge, std::int64_t candidate, bool present);
  /// All flags of a group. @throws ShapeError if they are not as many; ConfigError as above
  void set_present(std::size_t group, std::span<const std::uint8_t> present);

  /// Coefficients of the extra columns, for every edge. @throws ShapeError if they are not as many
  void set_extras(std::span<const double> coefficients);

  struct Draw {
    std::uint64_t seed = 0;
    std::uint32_t number = 0;  ///< keys the noise of sampled relaxations, with the seed
    double tau = 1.0;
    Phase phase = Phase::expected;
  };
  /// Computes weights, mix and support from the present parameters.
  void relax(const Context& ctx, const Draw& draw);

  /// Relaxed weights [edges, candidates] per group, after relax(). Who changes them calls combine().
  [[nodiscard]] std::span<const TensorView> weights() const noexcept { return weights_; }
  /// Computes mix from weights().
  void combine(const Context& ctx);

  /// [edges, candidates + extra columns] per group.
  [[nodiscard]] std::span<const TensorView> mix() const noexcept { return mix_; }
  /// mix without the extra columns: [edges, candidates] per group.
  [[nodiscard]] std::span<const TensorView> shares() const noexcept { return shares_; }
  /// Candidates that have to run; empty if all of the space have to.
  [[nodiscard]] const Support& support() const noexcept { return everything_runs_ ? everything_ : support_; }
  /// The most candidates of an edge that a step of this phase runs; 0: all.
  [[nodiscard]] std::int64_t runs_at_most(Phase phase) const { return relaxation_->runs_at_most(phase); }

  /// Writes gradient() from the gradient of the mixing weights, one per group in order; null views count as zero.
  void backward(const Context& ctx, std::span<const TensorView> dmix);

  using LossTerms = std::span<const std::unique_ptr<const LossTerm>>;
  /// The same for a loss that `terms` are added to. Returns it.
  double backward(const Context& ctx, std::span<const TensorView> dmix, double loss, LossTerms terms,
                  const LossTerm::Moment& moment);

  /// dweights [edges, candidates] per group of the last backward pass.
  [[nodiscard]] std::span<const TensorView> weights_gradient() const noexcept { return dweights_; }

  /// Remembers the parameters; after an update, updated() lets relaxation and edge weighting bring them back to where
  /// they want them.
  void before_update();
  void updated();

 private:
  void update_support();
  void combine_back(const Context& ctx, std::span<const TensorView> dmix, double scale);
  [[nodiscard]] TensorView beta(std::size_t group) const;
  [[nodiscard]] TensorView beta_gradient(std::size_t group) const;

  const std::vector<ChoiceGroup>* groups_;
  std::unique_ptr<const Relaxation> relaxation_;
  std::unique_ptr<const EdgeWeighting> edge_weighting_;
  std::int64_t extra_columns_;
  std::size_t count_ = 0;
  Buffer parameters_;
  Buffer gradient_;
  Buffer before_;
  Buffer memory_;  // everything below, of every group
  std::vector<Tensor> tensors_;
  std::vector<std::size_t> alpha_;  // index into tensors_, per group
  std::vector<int> beta_;           // likewise; -1: none
  std::vector<std::vector<std::uint8_t>> present_;
  std::vector<double> extras_;
  Support support_;
  const Support everything_;
  bool everything_runs_ = true;
  std::vector<TensorView> weights_;
  std::vector<TensorView> dweights_;
  std::vector<TensorView> dalpha_;  // what loss terms add
  std::vector<TensorView> wide_;    // weights and extra columns
  std::vector<TensorView> dwide_;
  std::vector<TensorView> mix_;
  std::vector<TensorView> shares_;
  std::vector<RelaxationInput> inputs_;  // alpha with -inf where a candidate is absent
};

}  // namespace dnas::search
