#pragma once

#include "dnas/kernels/normalisation.hpp"

// Host twins of normalisation.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

[[nodiscard]] std::size_t batch_statistics_workspace(const Shape& x);

void batch_statistics(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                      std::span<const RunningStatistics> running, const TensorView& normalisation,
                      std::span<std::byte> workspace);

void normalisation_backward(const Context& ctx, const TensorView& x, std::span<const TensorView> g,
                            std::span<const TensorView> gradients, const TensorView& dx, Write write);

}  // namespace dnas::kernels::cpu
