#pragma once

#include "dnas/kernels/pool.hpp"

// Host twins of the pools; arguments are checked by the callers in pool.cpp.
namespace dnas::kernels::cpu {

void max_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y,
                      const TensorView& argmax);
void max_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& argmax,
                       const TensorView& dx, Write write);

void avg_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y);
void avg_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& dx, Write write);

void global_avg_pool_forward(const Context& ctx, const TensorView& x, const TensorView& y);
void global_avg_pool_backward(const Context& ctx, const TensorView& dy, const TensorView& dx, Write write);

}  // namespace dnas::kernels::cpu
