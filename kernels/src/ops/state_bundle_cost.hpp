#pragma once

#include "core/kernel_cost.hpp"
#include "ops/state_bundle_cuda.hpp"

// What the launches of state_bundle_cuda.hpp cost, for planning and for docs/kernels.md. Pure functions of shapes;
// tensors are told apart by their addresses.
namespace dnas::kernels::cuda {

[[nodiscard]] KernelCost state_bundle_forward_cost(int stride, std::span<const StateBundle> states);
[[nodiscard]] KernelCost node_forward_cost(std::span<const NodeTerm> terms, const TensorView& node);
[[nodiscard]] KernelCost node_backward_cost(std::span<const NodeTerm> terms, const TensorView& g);
[[nodiscard]] KernelCost state_bundle_backward_cost(int stride, std::span<const StateGradient> states);

}  // namespace dnas::kernels::cuda
