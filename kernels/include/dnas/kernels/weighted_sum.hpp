#pragma once

#include "dnas/kernels/context.hpp"
#include "dnas/kernels/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace dnas::kernels {

/// Weighted sum of K candidate outputs, a supernet node: y = sum_k w[index_k] * x_k.
///
/// x_k and y: [N, H, W, C] f32, all of one shape, each may be a channel slice. `w`: f32, dense, any shape; index_k is
/// the flat position of term k's weight in it (several terms may share tensors, not positions). Terms are added in the
/// order given. y must not overlap any x_k. Bitwise repeatable and independent of the number of threads. Source: Liu et
/// al. 2019, arXiv:1806.09055, eq. 2, summed over a node's edges.
/// @throws ShapeError if there are no terms, shapes differ, or an index lies outside w; DtypeError on other dtypes
void weighted_sum_forward(const Context& ctx, std::span<const TensorView> x, std::span<const std::int32_t> index,
                          const TensorView& w, const TensorView& y);

/// dx_k (+)= w[index_k] * dy for each k whose view is not null, by write[k].
void weighted_sum_backward_data(const Context& ctx, std::span<const std::int32_t> index, const TensorView& w,
                                const TensorView& dy, std::span<const TensorView> dx, std::span<const Write> write);

/// Scratch bytes for weighted_sum_backward_weights; depends on the shape and the number of terms only. 64-byte aligned.
[[nodiscard]] std::size_t weighted_sum_workspace(const Shape& x, std::size_t terms);

/// dw[index_k] += sum over all elements of dy * x_k. Other positions of dw are left alone; the caller zeroes dw once
/// for all nodes that share w. Partial sums in f32 over short runs, combined in f64 in a fixed order.
void weighted_sum_backward_weights(const Context& ctx, std::span<const TensorView> x,
                                   std::span<const std::int32_t> index, const TensorView& dy, const TensorView& dw,
                                   std::span<std::byte> workspace);

}  // namespace dnas::kernels
