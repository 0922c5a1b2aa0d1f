#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

namespace dnas::kernels {

/// sum[j] (+)= partials[0, j] + partials[1, j] + ... in this order; partials [count, elements].
void add_partials(const Context& ctx, const float* partials, std::int64_t count, std::int64_t elements, Write write,
                  float* sum);

}  // namespace dnas::kernels
