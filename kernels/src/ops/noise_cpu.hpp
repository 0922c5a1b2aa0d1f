#pragma once

#include "dnas/kernels/noise.hpp"

// Host twins of noise.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void gaussian_noise(const Context& ctx, const TensorView& x, float factor, const Draws& draws, const TensorView& y);
void normal_noise(const Context& ctx, const Draws& draws, const TensorView& y);

}  // namespace dnas::kernels::cpu
