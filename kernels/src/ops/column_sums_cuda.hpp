#pragma once

#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels::cuda {

/// db[c] = sum of dy[., c]: the gradient of a linear layer's bias. dy f32 or bfloat16, dense or a slice; db [C] f32,
/// overwritten. Asynchronous, no allocation, capture-safe; bitwise repeatable, without atomics. Made for the rows of a
/// batch: a block adds whole columns.
void column_sums(const TensorView& dy, const TensorView& db, void* stream);

}  // namespace dnas::kernels::cuda
