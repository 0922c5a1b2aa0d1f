#include "dnas/search/relaxation.hpp"

#include "core/matrix_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

namespace dnas::search {
namespace {

void check_input(const RelaxationInput& in) {
  const Shape& shape = in.alpha.shape;
  if (shape.rank() != 2 || shape.elements() == 0) {
    throw ShapeError(fmt::format("relaxation: alpha is {}, expected [edges, candidates]", shape.to_string()));
  }
  check_matrix("relaxation: alpha", in.alpha, shape);
}

}  // namespace

void Relaxation::forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const {
  check_input(in);
  check_matrix("relaxation: weights", weights, in.alpha.shape);
  do_forward(ctx, in, weights);
}

void Relaxation::backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights,
                          const TensorView& dweights, const TensorView& dalpha) const {
  check_input(in);
  check_matrix("relaxation: weights", weights, in.alpha.shape);
  check_matrix("relaxation: dweights", dweights, in.alpha.shape);
  check_matrix("relaxation: dalpha", dalpha, in.alpha.shape);
  do_backward(ctx, in, weights, dweights, dalpha);
}

}  // namespace dnas::search
