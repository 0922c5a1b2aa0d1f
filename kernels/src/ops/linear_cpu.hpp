#pragma once

#include "dnas/kernels/linear.hpp"

// Host twins of dnas/kernels/linear.hpp; arguments are checked.
namespace dnas::kernels::cpu {

void linear_forward(const Context& ctx, const TensorView& x, const TensorView& w, const TensorView& b,
                    const TensorView& y);

void linear_backward_data(const Context& ctx, const TensorView& dy, const TensorView& w, const TensorView& dx,
                          Write write);

void linear_backward_weight(const Context& ctx, const TensorView& x, const TensorView& dy, const TensorView& dw,
                            const TensorView& db);

}  // namespace dnas::kernels::cpu
