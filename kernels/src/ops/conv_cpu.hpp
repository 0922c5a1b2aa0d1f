#pragma once

#include "dnas/kernels/conv.hpp"

#include <cstdint>

// Host twins of dnas/kernels/conv.hpp; arguments are checked.
namespace dnas::kernels::cpu {

/// Floats of workspace that suffice for each of the three passes.
[[nodiscard]] std::int64_t conv_floats(const Context& ctx, const Conv& conv, const Shape& x, const Shape& y);

void conv_forward(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& w, const TensorView& y,
                  float* workspace);

void conv_backward_data(const Context& ctx, const Conv& conv, const TensorView& dy, const TensorView& w,
                        const TensorView& dx, Write write, float* workspace);

void conv_backward_weight(const Context& ctx, const Conv& conv, const TensorView& x, const TensorView& dy,
                          const TensorView& dw, Write write, float* workspace);

}  // namespace dnas::kernels::cpu
