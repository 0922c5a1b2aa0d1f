#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"

#include <cstdint>
#include <span>

namespace dnas::search {

struct ChoiceGroup;

/// What mixing weights are wanted for: sampled relaxations may answer differently.
enum class Phase : std::uint8_t {
  arch_step,    ///< the gradient of alpha
  weight_step,  ///< the gradient of the weights
  evaluation,   ///< measuring the supernet: no noise; one candidate an edge where steps run few
  expected      ///< making it discrete: no noise
};

/// What a relaxation may depend on.
struct RelaxationInput {
  TensorView alpha;  ///< [edges, candidates] f32; -inf: the edge has no such candidate (any more)
  double tau = 1.0;  ///< temperature
  Phase phase = Phase::arch_step;
  Philox noise{0, Stream::relaxation};   ///< keyed by seed and draw
  std::uint64_t first_element = 0;       ///< of this group in the noise stream
  const ChoiceGroup* choices = nullptr;  ///< whose alpha it is; nullptr: of no known candidates

  [[nodiscard]] bool noise_free() const noexcept { return phase == Phase::expected || phase == Phase::evaluation; }
};

/// How alpha becomes mixing weights, row by row. Absent candidates have weight 0 and gradient 0; the base class sees to
/// it, members only have to survive alpha = -inf.
class Relaxation {
 public:
  virtual ~Relaxation() = default;

  /// weights [edges, candidates] from alpha. @throws ShapeError; NumericalError if a weight is not finite
  void forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const;
  /// dalpha from dweights, given the weights of the forward pass; overwritten.
  void backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights, const TensorView& dweights,
                const TensorView& dalpha) const;

  /// Flags of the candidates that have to run for these weights: all there are, unless the relaxation is sampled.
  void support(const RelaxationInput& in, const TensorView& weights, std::span<std::uint8_t> runs) const;

  /// The most candidates of an edge that a step of this phase runs; 0: all.
  [[nodiscard]] virtual std::int64_t runs_at_most(Phase /*phase*/) const { return 0; }

  /// How alpha starts: mean + deviation * N(0, 1), `candidates` of them present on an edge.
  struct Start {
    double mean = 0.0;
    double deviation = 1e-3;  ///< as the official DARTS code; the paper starts at zero
  };
  [[nodiscard]] virtual Start start(std::int64_t /*candidates*/) const { return {}; }

  /// After an update of alpha, given what it was before: brings it back to where the relaxation wants it.
  void updated(const RelaxationInput& before, const TensorView& alpha) const { do_updated(before, alpha); }

 protected:
  virtual void do_forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const = 0;
  virtual void do_backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights,
                           const TensorView& dweights, const TensorView& dalpha) const = 0;
  /// Noise-free weights, for Phase::expected and evaluation. The default is do_forward.
  virtual void do_expected(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const {
    do_forward(ctx, in, weights);
  }
  /// Clears the flags of candidates that need not run; they are set where the candidate is there.
  virtual void do_support(const RelaxationInput& /*in*/, const TensorView& /*weights*/,
                          std::span<std::uint8_t> /*runs*/) const {}
  virtual void do_updated(const RelaxationInput& /*before*/, const TensorView& /*alpha*/) const {}
};

void register_relaxations(Registry<Component<Relaxation>>& registry);
[[nodiscard]] const Registry<Component<Relaxation>>& relaxations();

}  // namespace dnas::search
