#include "dnas/search/edge_weighting.hpp"

#include "core/matrix_check.hpp"

namespace dnas::search {
namespace {

/// Of all matrices of a call: a row per edge, and the columns of `weights`.
Shape shape_of(const ChoiceGroup& group, const TensorView& weights) {
  const bool wide_enough = weights.shape.rank() == 2 && weights.shape[1] >= group.columns();
  return {group.rows(), wide_enough ? weights.shape[1] : group.columns()};
}

}  // namespace

void EdgeWeighting::do_start(const ChoiceGroup& /*group*/, const Philox& noise, const TensorView& beta) const {
  for (std::int64_t i = 0; i < beta.elements(); ++i)
    beta.f32()[i] = 1e-3F * noise.normal(static_cast<std::uint64_t>(i));
}

void EdgeWeighting::forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                            const TensorView& beta, const TensorView& mix) const {
  const Shape shape = shape_of(group, weights);
  check_matrix("edge weighting: weights", weights, shape);
  check_matrix("edge weighting: mix", mix, shape);
  if (const std::int64_t count = parameters(group); count > 0) check_matrix("edge weighting: beta", beta, {count});
  do_forward(ctx, group, weights, beta, mix);
}

void EdgeWeighting::backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                             const TensorView& beta, const TensorView& dmix, const TensorView& dweights,
                             const TensorView& dbeta) const {
  const Shape shape = shape_of(group, weights);
  check_matrix("edge weighting: weights", weights, shape);
  check_matrix("edge weighting: dmix", dmix, shape);
  check_matrix("edge weighting: dweights", dweights, shape);
  if (const std::int64_t count = parameters(group); count > 0) {
    check_matrix("edge weighting: beta", beta, {count});
    check_matrix("edge weighting: dbeta", dbeta, {count});
  }
  do_backward(ctx, group, weights, beta, dmix, dweights, dbeta);
}

}  // namespace dnas::search
