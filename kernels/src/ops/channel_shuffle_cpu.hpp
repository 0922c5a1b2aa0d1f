#pragma once

#include "dnas/kernels/channel_shuffle.hpp"

// Host twin of channel_shuffle.hpp: same contract, arguments already checked.
namespace dnas::kernels::cpu {

void channel_shuffle(const Context& ctx, std::int64_t groups, const TensorView& x, const TensorView& y, Write write);

}  // namespace dnas::kernels::cpu
