#include "dnas/search/relaxation.hpp"

#include "core/matrix_check.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace dnas::search {
namespace {

void check_input(const RelaxationInput& in) {
  const Shape& shape = in.alpha.shape;
  if (shape.rank() != 2 || shape.elements() == 0) {
    throw ShapeError(fmt::format("relaxation: alpha is {}, expected [edges, candidates]", shape.to_string()));
  }
  check_matrix("relaxation: alpha", in.alpha, shape);
}

bool present(const RelaxationInput& in, std::int64_t i) {
  return in.alpha.f32()[i] != -std::numeric_limits<float>::infinity();
}

void clear_absent(const RelaxationInput& in, const TensorView& values) {
  for (std::int64_t i = 0; i < values.elements(); ++i) {
    if (!present(in, i)) values.f32()[i] = 0.0F;
  }
}

/// The largest weight of each row becomes 1, the others 0; of equal ones the first.
void harden(const TensorView& weights) {
  const std::int64_t columns = weights.shape[1];
  for (float* row = weights.f32(); row != weights.f32() + weights.elements(); row += columns) {
    float* const best = std::max_element(row, row + columns);
    const float one = *best > 0.0F ? 1.0F : 0.0F;  // nothing is left of an edge without candidates
    std::fill_n(row, columns, 0.0F);
    *best = one;
  }
}

}  // namespace

void Relaxation::forward(const Context& ctx, const RelaxationInput& in, const TensorView& weights) const {
  check_input(in);
  check_matrix("relaxation: weights", weights, in.alpha.shape);
  in.noise_free() ? do_expected(ctx, in, weights) : do_forward(ctx, in, weights);
  clear_absent(in, weights);
  for (std::int64_t i = 0; i < weights.elements(); ++i) {
    if (std::isfinite(weights.f32()[i])) continue;
    throw NumericalError(fmt::format("relaxation: the weight of edge {}, candidate {} is {} (alpha {}, temperature {})",
                                     i / weights.shape[1], i % weights.shape[1], weights.f32()[i], in.alpha.f32()[i],
                                     in.tau));
  }
  if (in.phase == Phase::evaluation && runs_at_most(Phase::weight_step) > 0) harden(weights);
}

void Relaxation::backward(const Context& ctx, const RelaxationInput& in, const TensorView& weights,
                          const TensorView& dweights, const TensorView& dalpha) const {
  check_input(in);
  check_matrix("relaxation: weights", weights, in.alpha.shape);
  check_matrix("relaxation: dweights", dweights, in.alpha.shape);
  check_matrix("relaxation: dalpha", dalpha, in.alpha.shape);
  do_backward(ctx, in, weights, dweights, dalpha);
  clear_absent(in, dalpha);
}

void Relaxation::support(const RelaxationInput& in, const TensorView& weights, std::span<std::uint8_t> runs) const {
  for (std::int64_t i = 0; i < in.alpha.elements(); ++i)
    runs[static_cast<std::size_t>(i)] = present(in, i) ? 1 : 0;
  if (in.phase == Phase::expected) return;
  if (in.phase != Phase::evaluation) return do_support(in, weights, runs);
  if (runs_at_most(Phase::weight_step) == 0) return;
  for (std::size_t i = 0; i < runs.size(); ++i)
    runs[i] = weights.f32()[i] != 0.0F ? 1 : 0;
}

}  // namespace dnas::search
