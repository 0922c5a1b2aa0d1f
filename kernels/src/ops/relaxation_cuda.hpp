#pragma once

#include "dnas/kernels/rng.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

// How architecture parameters become mixing weights, on the device: rows of a matrix [R, K] f32 dense, one for each
// edge. Device memory throughout; `stream` is a cudaStream_t. Arguments are taken as checked. Asynchronous, no
// allocation, capture-safe, one launch each, bitwise repeatable. A row is computed in f64 by a warp and rounded to f32
// once.
namespace dnas::kernels::cuda {

/// Device side of softmax.hpp: p[r, k] = exp(x[r, k] - max) / sum. p may be x.
void softmax_forward(const TensorView& x, const TensorView& p, void* stream);

/// dx[r, k] = p[r, k] * (dp[r, k] - sum_j dp[r, j] p[r, j]). dx may be dp.
void softmax_backward(const TensorView& p, const TensorView& dp, const TensorView& dx, void* stream);

/// w = 1 / (1 + exp(-alpha)). w may be alpha.
void sigmoid_forward(const TensorView& alpha, const TensorView& w, void* stream);

/// dalpha = dw * w * (1 - w). dalpha may be dw.
void sigmoid_backward(const TensorView& w, const TensorView& dw, const TensorView& dalpha, void* stream);

/// What a sampled relaxation reads from device memory when it runs, so that a replayed graph draws anew.
struct RelaxationStep {
  float tau = 1.0F;        ///< temperature, > 0
  std::uint32_t step = 0;  ///< of the random stream
};

/// The noise of a launch: Philox draws with the step of RelaxationStep. Entry (r, k) of a matrix takes element
/// `first` + r K + k.
struct RelaxationNoise {
  std::uint64_t seed = 0;
  Stream stream = Stream::relaxation;
  std::uint64_t first = 0;
};

/// Gumbel-softmax: p = softmax((alpha + g) / tau), g = -log(-log u) with u = (24-bit uniform + 1/2) / 2^24. With a view
/// `hard` [R, K], that receives the straight-through sample: 1 at the largest (alpha + g) / tau of a row, the first of
/// equals, 0 elsewhere; all NaN if the row holds NaN. p may be alpha. Sources: Maddison, Mnih and Teh 2017,
/// arXiv:1611.00712 (the concrete distribution); Jang, Gu and Poole 2017, arXiv:1611.01144 (straight-through); Dong and
/// Yang 2019, arXiv:1910.04465 (GDAS: one candidate of each edge is sampled and run).
void gumbel_softmax_forward(const TensorView& alpha, const RelaxationStep* step, const RelaxationNoise& noise,
                            const TensorView& p, const TensorView& hard, void* stream);

/// dalpha[r, k] = p[r, k] * (dw[r, k] - sum_j dw[r, j] p[r, j]) / tau: the gradient of p, and, where dw is that of
/// `hard`, the straight-through one, which takes hard for p. dalpha may be dw.
void gumbel_softmax_backward(const TensorView& p, const TensorView& dw, const RelaxationStep* step,
                             const TensorView& dalpha, void* stream);

}  // namespace dnas::kernels::cuda
