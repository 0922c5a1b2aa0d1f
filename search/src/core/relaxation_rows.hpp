#pragma once

#include "dnas/search/relaxation.hpp"

#include <cstdint>
#include <span>

/// What relaxations share. They compute in double, a row of alpha at a time, and round once.
namespace dnas::search {

/// p = softmax(logits / tau) in place. The largest logit is subtracted before anything is divided, so any tau > 0 will
/// do. -inf becomes 0; in a row of nothing else all become 0.
void softmax_row(std::span<double> row, double tau = 1.0);

/// dlogits of p = softmax(logits / tau): p_i (dp_i - sum_j dp_j p_j) / tau. dlogits may be dp.
void softmax_row_gradient(std::span<const double> p, std::span<const double> dp, double tau, std::span<double> dlogits);

/// Uniform in (0, 1), neither end included: 32 random bits. `element` counts from the group's first.
[[nodiscard]] double open_uniform(const RelaxationInput& in, std::uint64_t element);

/// Row `edge` of alpha plus one draw of standard Gumbel noise, -log(-log u), an entry. The largest entry is a sample of
/// softmax(alpha), the two largest are two without replacement. With the above u the noise is from -3.2 to 22.9, so it
/// never has to be drawn again for being infinite.
void gumbel_row(const RelaxationInput& in, std::int64_t edge, std::span<double> row);

/// Row `edge` of softmax((alpha + g) / tau) with Gumbel noise g; of softmax(alpha) where no noise is wanted.
void gumbel_softmax_row(const RelaxationInput& in, std::int64_t edge, std::span<double> row);

/// dalpha of gumbel_softmax_row, all rows.
void gumbel_softmax_gradient(const RelaxationInput& in, const TensorView& dweights, const TensorView& dalpha);

/// Row `edge` of a matrix.
void read_row(const TensorView& matrix, std::int64_t edge, std::span<double> row);
void write_row(std::span<const double> row, const TensorView& matrix, std::int64_t edge);

/// Number of entries of a row.
[[nodiscard]] inline std::size_t columns(const RelaxationInput& in) {
  return static_cast<std::size_t>(in.alpha.shape[1]);
}

}  // namespace dnas::search
