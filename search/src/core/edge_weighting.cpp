#include "dnas/search/edge_weighting.hpp"

#include "core/matrix_check.hpp"

namespace dnas::search {

void EdgeWeighting::forward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                            const TensorView& beta, const TensorView& mix) const {
  const Shape shape{group.rows(), group.columns()};
  check_matrix("edge weighting: weights", weights, shape);
  check_matrix("edge weighting: mix", mix, shape);
  if (const std::int64_t count = parameters(group); count > 0) check_matrix("edge weighting: beta", beta, {count});
  do_forward(ctx, group, weights, beta, mix);
}

void EdgeWeighting::backward(const Context& ctx, const ChoiceGroup& group, const TensorView& weights,
                             const TensorView& beta, const TensorView& dmix, const TensorView& dweights,
                             const TensorView& dbeta) const {
  const Shape shape{group.rows(), group.columns()};
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
