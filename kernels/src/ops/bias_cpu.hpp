#pragma once

#include "dnas/kernels/bias.hpp"

// Host twins of bias.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void bias_forward(const Context& ctx, const TensorView& x, const TensorView& b, const TensorView& y);
[[nodiscard]] std::size_t bias_workspace(const Shape& dy);
void bias_backward(const Context& ctx, const TensorView& dy, const TensorView& db, Write write, double* workspace);

}  // namespace dnas::kernels::cpu
