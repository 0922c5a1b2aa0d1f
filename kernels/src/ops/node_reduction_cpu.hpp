#pragma once

#include "dnas/kernels/node_reduction.hpp"

// Host twins of node_reduction.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void node_reduction_forward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                            const TensorView& y);

[[nodiscard]] std::size_t node_reduction_backward_workspace(const Shape& x, std::size_t terms);

void node_reduction_backward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                             const TensorView& g, const ReductionGradients& gradients, std::span<std::byte> workspace);

}  // namespace dnas::kernels::cpu
