#pragma once

#include "dnas/kernels/weighted_sum.hpp"

// Host twins of weighted_sum.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void weighted_sum_forward(const Context& ctx, std::span<const TensorView> x, std::span<const std::int32_t> index,
                          const TensorView& w, const TensorView& y);

void weighted_sum_backward_data(const Context& ctx, std::span<const std::int32_t> index, const TensorView& w,
                                const TensorView& dy, std::span<const TensorView> dx, std::span<const Write> write);

[[nodiscard]] std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms);

void weighted_sum_backward_weights(const Context& ctx, std::span<const TensorView> x,
                                   std::span<const std::int32_t> index, const TensorView& dy, const TensorView& dw,
                                   std::span<std::byte> workspace);

}  // namespace dnas::kernels::cpu
