#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/draws.hpp"
#include "dnas/kernels/tensor_view.hpp"

namespace dnas::kernels {

// Host only: there is no CUDA version yet. Normal draws go through the C library's log and cos.

/// y = x + factor * std(x) * n with standard normal n, one for each element, and the population standard deviation over
/// the whole tensor. A factor of 0 or a constant x give x bit by bit.
///
/// x, y: f32 of one shape of any rank, either may be a channel slice; y may be x. The deviation is taken in f64,
/// relative to the first element, over blocks cut by shape and added in order: bitwise repeatable, whatever threads and
/// layout. Source: Chu et al. 2020, "Noisy Differentiable Architecture Search", arXiv:2005.03566.
/// @throws ShapeError, DtypeError naming the argument; ConfigError if step or site are out of range, or factor is
/// negative or not finite
void gaussian_noise(const Context& ctx, const TensorView& x, float factor, const Draws& draws, const TensorView& y);

/// y = standard normal draws. y: f32 of any rank, may be a channel slice.
/// @throws as gaussian_noise
void normal_noise(const Context& ctx, const Draws& draws, const TensorView& y);

}  // namespace dnas::kernels
