#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"

namespace dnas::search {

/// What a relaxation may depend on besides alpha.
struct RelaxationInput {
  TensorView alpha;                     ///< [edges, candidates] f32
  double tau = 1.0;                     ///< temperature
  Philox noise{0, Stream::relaxation};  ///< keyed by seed and step
  std::uint64_t first_element = 0;      ///< of this group in the noise stream
};

/// How alpha becomes mixing weights, row by row.
class Relaxation {
 public:
  virtual ~Relaxation() = default;

  /// weights [edges, candidates] from alpha. @throws ShapeError
  void forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const;
  /// dalpha from dweights, given the weights of the forward pass; overwritten.
  void backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights, const TensorView& dweights,
                const TensorView& dalpha) const;

 protected:
  virtual void do_forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const = 0;
  virtual void do_backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights,
                           const TensorView& dweights, const TensorView& dalpha) const = 0;
};

void register_relaxations(Registry<Component<Relaxation>>& registry);
[[nodiscard]] const Registry<Component<Relaxation>>& relaxations();

}  // namespace dnas::search
