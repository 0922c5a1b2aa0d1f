#pragma once

#include "dnas/kernels/dropout.hpp"

// Host twins of dropout.hpp: same contracts, arguments already checked.
namespace dnas::kernels::cpu {

void dropout(const Context& ctx, const TensorView& x, float rate, const Draws& draws, const TensorView& y, Write write);
void drop_path(const Context& ctx, const TensorView& x, float rate, const Draws& draws, const TensorView& y,
               Write write);

}  // namespace dnas::kernels::cpu
