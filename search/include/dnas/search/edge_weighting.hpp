#pragma once

#include "dnas/kernels/context.hpp"
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

  /// mix [edges, candidates] from weights [edges, candidates] and beta [parameters] (null view if there are none).
  /// @throws ShapeError, DtypeError
  void forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
               const TensorView& mix) const;
  /// dweights and dbeta from dmix; overwritten. dweights may be dmix.
  void backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights, const TensorView& beta,
                const TensorView& dmix, const TensorView& dweights, const TensorView& dbeta) const;

 protected:
  virtual std::int64_t do_parameters(const ChoiceGroup& group) const = 0;
  virtual void do_forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                          const TensorView& beta, const TensorView& mix) const = 0;
  virtual void do_backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                           const TensorView& beta, const TensorView& dmix, const TensorView& dweights,
                           const TensorView& dbeta) const = 0;
};

void register_edge_weightings(Registry<Component<EdgeWeighting>>& registry);
[[nodiscard]] const Registry<Component<EdgeWeighting>>& edge_weightings();

}  // namespace dnas::search
