#pragma once

#include "dnas/kernels/depthwise_conv.hpp"

// Host twins of the depthwise convolution; arguments are checked by the callers in depthwise_conv.cpp.
namespace dnas::kernels::cpu {

void depthwise_conv_forward(const Context& ctx, const DepthwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y);

void depthwise_conv_backward_data(const Context& ctx, const DepthwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write);

std::size_t depthwise_conv_backward_weight_workspace(const DepthwiseConv& conv, const Shape& output);

void depthwise_conv_backward_weight(const Context& ctx, const DepthwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace);

}  // namespace dnas::kernels::cpu
