#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/normalisation.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace dnas::kernels {

/// A term of a node: x [N, H, W, C] f32, which may be a channel slice, normalised or, with a null view, taken as it is.
struct ReductionTerm {
  TensorView x;
  TensorView normalisation;  ///< [2, C], normalisation.hpp
  std::int32_t weight = 0;   ///< flat position of its mixing weight
};

inline constexpr std::size_t max_reduction_terms = 256;

/// One node of a supernet: y = sum_k w[weight_k] * norm_k(x_k), with norm_k(x) = (x - mean_k) * rstd_k or x, in one
/// pass: no normalised or weighted candidate is stored.
///
/// y and all x_k: one shape [N, H, W, C], f32, each may be a channel slice; y must not overlap an x_k. `w`: f32 dense,
/// any shape. Terms are added in the order given. Bitwise repeatable and independent of the threads. Source: Liu et al.
/// 2019, arXiv:1806.09055, eq. 2, summed over a node's edges (docs/fused_mixed_operation.md).
/// @throws ShapeError if there are no terms or more than max_reduction_terms, shapes differ or a position lies outside
/// w; DtypeError
void node_reduction_forward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                            const TensorView& y);

/// Scratch bytes for node_reduction_backward; depends on its arguments only. 64-byte aligned.
[[nodiscard]] std::size_t node_reduction_backward_workspace(const Shape& x, std::size_t terms);

/// What a node's gradient g = dL/dy is for.
struct ReductionGradients {
  /// dw[weight_k] += sum over all elements of g * norm_k(x_k). Other positions are left alone. A null view: not wanted.
  TensorView dw;
  /// Per term: the normalisation gradient [4, C] of x_k. Null views where the term is not normalised or its data
  /// gradient not wanted; empty if none is.
  std::span<const TensorView> normalisation;
};

/// One pass over g and the x_k that something is wanted of. The data gradients are not formed: that of a normalised
/// term is what its normalisation gradient makes of g, that of the others w[weight_k] * g (weighted_sum.hpp). Sums in
/// f32 over short runs, combined in f64 in a fixed order: bitwise repeatable, independent of the threads.
/// @throws ShapeError, DtypeError naming the argument
void node_reduction_backward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                             const TensorView& g, const ReductionGradients& gradients, std::span<std::byte> workspace);

}  // namespace dnas::kernels
