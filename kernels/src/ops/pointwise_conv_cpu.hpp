#pragma once

#include "dnas/kernels/pointwise_conv.hpp"

#include <cstdint>

// Host twins of dnas/kernels/pointwise_conv.hpp; arguments are checked, and of
// one group: conv.groups is ignored.
namespace dnas::kernels::cpu {

void pointwise_conv_forward(const Context& ctx, const PointwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y);

void pointwise_conv_backward_data(const Context& ctx, const PointwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write);

/// Floats of workspace that pointwise_conv_backward_weight needs.
[[nodiscard]] std::int64_t pointwise_conv_backward_weight_floats(const PointwiseConv& conv, const Shape& x,
                                                                 const Shape& y);

void pointwise_conv_backward_weight(const Context& ctx, const PointwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write, float* workspace);

}  // namespace dnas::kernels::cpu
