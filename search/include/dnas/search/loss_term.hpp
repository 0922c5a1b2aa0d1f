#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"
#include "dnas/search/component.hpp"
#include "dnas/search/space.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace dnas::search {

/// A term that the architecture step's loss has besides the cross-entropy: a function of alpha or of the relaxed
/// weights alone, so the supernet does not know of it.
class LossTerm {
 public:
  virtual ~LossTerm() = default;

  /// What a term may depend on, per choice group. Absent candidates have alpha = -inf and weight 0.
  struct Group {
    const ChoiceGroup* choices = nullptr;
    TensorView alpha;     ///< [edges, candidates] f32
    TensorView weights;   ///< relaxed, before the edge weighting
    TensorView dalpha;    ///< to be added to
    TensorView dweights;  ///< to be added to; its way back to alpha is the relaxation's
  };

  struct Moment {
    std::int64_t epoch = 0;  ///< from 0
    std::int64_t epochs = 1;
  };

  /// The loss so far.
  struct Sum {
    double value = 0.0;
    double scale = 1.0;  ///< what the gradient of the cross-entropy is to be multiplied by
  };

  /// Adds the term and its gradients.
  /// @throws ConfigError, ShapeError if it does not fit the space; NumericalError if the sum is not finite
  void add(const Context& ctx, const Moment& moment, std::span<const Group> groups, Sum& sum) const;

 protected:
  virtual void do_add(const Context& ctx, const Moment& moment, std::span<const Group> groups, Sum& sum) const = 0;

  /// For terms that multiply: everything so far times `factor`.
  static void multiply(std::span<const Group> groups, double factor, Sum& sum);
};

void register_loss_terms(Registry<Component<LossTerm>>& registry);
[[nodiscard]] const Registry<Component<LossTerm>>& loss_terms();

}  // namespace dnas::search
