#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/space.hpp"

namespace dnas::search {

/// How the edges of a node are combined: turns relaxed weights into the mixing weights that multiply each candidate.
/// May own parameters beta, one array per group, that are trained with alpha.
class EdgeWeighting {
 public:
  virtual ~EdgeWeighting() = default;

  /// Number of betas of a group; 0 if there are none.
  [[nodiscard]] std::int64_t parameters(const ChoiceGroup& group) const { return do_parameters(group); }

  /// How beta starts; `noise` is for it alone. The default is 1e-3 * N(0, 1).
  void start(const ChoiceGroup& group, const Philox& noise, const TensorView& beta) const {
    do_start(group, noise, beta);
  }
  /// After an update of beta: brings it back to where the edge weighting wants it.
  void updated(const ChoiceGroup& group, const TensorView& beta) const { do_updated(group, beta); }

  /// mix [edges, columns] from weights [edges, columns] and beta [parameters] (null view if there are none). The
  /// columns are the group's candidates and whatever else the edges carry; an edge weighting treats all alike.
  /// @throws ShapeError, DtypeError
  void forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
               const TensorView& mix) const;
  /// dweights and dbeta from dmix; overwritten. dweights may be dmix.
  void backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
                const TensorView& dmix, const TensorView& dweights, const TensorView& dbeta) const;

 protected:
  virtual std::int64_t do_parameters(const ChoiceGroup& group) const = 0;
  virtual void do_start(const ChoiceGroup& group, const Philox& noise, const TensorView& beta) const;
  virtual void do_updated(const ChoiceGroup& /*group*/, const TensorView& /*beta*/) const {}
  virtual void do_forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                          const TensorView& beta, const TensorView& mix) const = 0;
  virtual void do_backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                           const TensorView& beta, const TensorView& dmix, const TensorView& dweights,
                           const TensorView& dbeta) const = 0;
};

void register_edge_weightings(Registry<Component<EdgeWeighting>>& registry);
[[nodiscard]] const Registry<Component<EdgeWeighting>>& edge_weightings();

}  // namespace dnas::search
