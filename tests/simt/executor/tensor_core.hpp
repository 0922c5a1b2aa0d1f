#pragma once

#include "simt/executor/misuse.hpp"

namespace dnas::simt {

// The layouts of fragments are those of kernels/src/core/ptx.cuh. A product's terms are added in f32, in order of k;
// a tensor core differs in the last bits.

void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Place& place);
void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Place& place);

/// `matrices` registers, from as many 8x8 matrices whose rows lanes 0 to 8 matrices - 1 name.
template <int Matrices, bool Transposed>
void ldmatrix(unsigned (&registers)[Matrices], const void* row, const Place& place);

}  // namespace dnas::simt
