#include "ops/node_reduction_cpu.hpp"

#include "core/batch_moments.hpp"
#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"
#include "ops/affine_sum.hpp"
#include "ops/column_sums.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

// Both passes are bound by memory: the terms are streamed once, a few at a time, while the block of y or g that they
// meet stays in L1. A term that is not normalised has mean 0 and rstd 1.
namespace dnas::kernels::cpu {
namespace {

/// The rows in which the terms are walked, `at_once` columns at most being taken at a time. The node, y or g, is often
/// a slice of its cell's output while all the terms are dense: then the walk is theirs, in rows of several pixels, and
/// the node's block is packed. With 4 channels that takes 0.6 of the time; with 16 it makes no difference
/// (kernels_bench, reduction_*).
struct NodeWalk {
  RowWalk rows;
  std::int64_t channels;
  bool packed = false;

  NodeWalk(std::span<const ReductionTerm> terms, const TensorView& node, std::int64_t at_once)
      : rows(RowWalk::over_channels(node.shape, true)), channels(node.channels()) {
    const bool dense = std::ranges::all_of(terms, [](const ReductionTerm& term) { return term.x.dense(); });
    packed = !node.dense() && dense && rows.width <= std::min(at_once, sum_block_floats);
    if (!dense || (!node.dense() && !packed)) rows = RowWalk::over_channels(node.shape, false);
  }

  /// The node's pixels in `count` rows of `columns` from row `row` on, if packed.
  [[nodiscard]] Rows pixels_of(const TensorView& node, std::int64_t row) const {
    return {node.f32() + row * (rows.width / channels) * node.pixel_stride, node.pixel_stride};
  }
  [[nodiscard]] std::int64_t pixels_in(std::int64_t count, std::int64_t columns) const {
    return count * columns / channels;
  }
};

/// Copies `rows` rows of `width` floats.
DNAS_MULTIVERSION
void copy_rows(ConstRows from, Rows to, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* source = from(row, column);
          float* target = to(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            target[i] = source[i];
        }
      });
}

float mean_of(const ReductionTerm& term, std::int64_t channel) {
  return term.normalisation ? term.normalisation.f32()[mean_row * term.x.channels() + channel] : 0.0F;
}

float rstd_of(const ReductionTerm& term, std::int64_t channel) {
  return term.normalisation ? term.normalisation.f32()[rstd_row * term.x.channels() + channel] : 1.0F;
}

/// The workspace of the backward pass: f64 sums per column [pieces][1 + terms][width], of g and of g * (x - mean), and
/// f32 means [terms][width].
class Scratch {
 public:
  Scratch(const RowWalk& walk, std::size_t terms, std::span<std::byte> workspace)
      : width_(walk.width),
        pieces_(walk.pieces),
        slots_(1 + static_cast<std::int64_t>(terms)),
        sums_(reinterpret_cast<double*>(workspace.data())),
        means_(reinterpret_cast<float*>(sums_ + walk.pieces * slots_ * walk.width)) {}

  [[nodiscard]] static std::size_t bytes(const RowWalk& walk, std::size_t terms) {
    return static_cast<std::size_t>(walk.width) *
           (static_cast<std::size_t>(walk.pieces) * (1 + terms) * sizeof(double) + terms * sizeof(float));
  }

  [[nodiscard]] double* sum_g(std::int64_t piece) const { return slot(piece, 0); }
  [[nodiscard]] double* sum_gx(std::int64_t piece, std::size_t term) const {
    return slot(piece, 1 + static_cast<std::int64_t>(term));
  }
  [[nodiscard]] float* mean(std::size_t term) const { return means_ + static_cast<std::int64_t>(term) * width_; }

  void clear(std::int64_t piece) const { std::fill_n(sum_g(piece), slots_ * width_, 0.0); }

  /// Adds all pieces up in order, then the columns of each channel: the totals are those of piece 0.
  void reduce(const Context& ctx, std::int64_t channels) const {
    parallel_for(ctx, slots_, [&](std::int64_t which) {
      double* total = slot(0, which);
      for (std::int64_t piece = 1; piece < pieces_; ++piece) {
        const double* part = slot(piece, which);
        for (std::int64_t i = 0; i < width_; ++i)
          total[i] += part[i];
      }
      for (std::int64_t i = channels; i < width_; ++i)
        total[i % channels] += total[i];
    });
  }

 private:
  [[nodiscard]] double* slot(std::int64_t piece, std::int64_t which) const {
    return sums_ + (piece * slots_ + which) * width_;
  }

  std::int64_t width_;
  std::int64_t pieces_;
  std::int64_t slots_;
  double* sums_;
  float* means_;
};

}  // namespace

void node_reduction_forward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                            const TensorView& y) {
  const ColumnGroups groups(static_cast<std::int64_t>(terms.size()));
  const NodeWalk node(terms, y, groups.stride);
  const RowWalk& walk = node.rows;
  alignas(64) std::array<float, ColumnGroups::floats> mean;
  alignas(64) std::array<float, ColumnGroups::floats> scale;
  for (std::int64_t first = 0; first < walk.width; first += groups.stride) {
    const std::int64_t width = std::min(groups.stride, walk.width - first);
    for (std::size_t k = 0; k < terms.size(); ++k) {
      const ReductionTerm& term = terms[k];
      const float weight = w.f32()[term.weight];
      const auto spread = [&](float* to, auto of) { ColumnGroups::spread(to, first, width, y.channels(), of); };
      spread(groups.of(mean.data(), k), [&](std::int64_t c) { return mean_of(term, c); });
      spread(groups.of(scale.data(), k), [&](std::int64_t c) { return weight * rstd_of(term, c); });
    }
    parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
      alignas(64) std::array<float, sum_block_floats> pack;
      walk.for_blocks(piece, sum_block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
        const auto rows_of = [&](const TensorView& t) {
          const Rows whole = walk.rows_of(t, row);
          return Rows{whole(0, first), whole.stride};
        };
        const auto term = [&](std::size_t k) {
          return AffineTerm{rows_of(terms[k].x), groups.of(mean.data(), k), groups.of(scale.data(), k)};
        };
        const Rows to = node.packed ? Rows{pack.data(), width} : rows_of(y);
        affine_sum(terms.size(), term, nullptr, {}, to, to, rows, std::min(width, columns - first));
        if (node.packed) {
          copy_rows(Rows{pack.data(), y.channels()}, node.pixels_of(y, row), node.pixels_in(rows, columns),
                    y.channels());
        }
      });
    });
  }
}

std::size_t node_reduction_backward_workspace(const Shape& x, std::size_t terms) {
  // A slice is walked in other rows than a dense tensor; the answer is for both.
  return std::max(Scratch::bytes(RowWalk::over_channels(x, true), terms),
                  Scratch::bytes(RowWalk::over_channels(x, false), terms));
}

void node_reduction_backward(const Context& ctx, std::span<const ReductionTerm> terms, const TensorView& w,
                             const TensorView& g, const ReductionGradients& gradients, std::span<std::byte> workspace) {
  const auto gradient_of = [&](std::size_t k) {
    return gradients.normalisation.empty() ? TensorView{} : gradients.normalisation[k];
  };
  // The terms that something is wanted of.
  std::array<std::uint16_t, max_reduction_terms> wanted;
  static_assert(max_reduction_terms <= 65536);
  std::size_t count = 0;
  for (std::size_t k = 0; k < terms.size(); ++k)
    if (gradients.dw || gradient_of(k)) wanted[count++] = static_cast<std::uint16_t>(k);
  if (count == 0) return;

  const NodeWalk node(terms, g, sum_block_floats);
  const RowWalk& walk = node.rows;
  const Scratch scratch(walk, count, workspace);
  const std::int64_t channels = g.channels();
  for (std::size_t i = 0; i < count; ++i) {
    ColumnGroups::spread(scratch.mean(i), 0, walk.width, channels,
                         [&](std::int64_t c) { return mean_of(terms[wanted[i]], c); });
  }
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    scratch.clear(piece);
    alignas(64) std::array<float, sum_block_floats> pack;
    walk.for_blocks(piece, sum_block(walk.width), [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      const Rows gradient = node.packed ? Rows{pack.data(), walk.width} : walk.rows_of(g, row);
      if (node.packed) {
        copy_rows(node.pixels_of(g, row), Rows{pack.data(), channels}, node.pixels_in(rows, columns), channels);
      }
      add_sums(gradient, scratch.sum_g(piece), rows, columns);
      for (std::size_t i = 0; i < count; i += fused_products) {
        const std::size_t now = std::min(fused_products, count - i);
        std::array<ProductTerm, fused_products> products;
        for (std::size_t j = 0; j < now; ++j) {
          products[j] = {walk.rows_of(terms[wanted[i + j]].x, row), scratch.mean(i + j), scratch.sum_gx(piece, i + j)};
        }
        add_products(gradient, products.data(), now, rows, columns);
      }
    });
  });
  scratch.reduce(ctx, channels);

  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t k = wanted[i];
    const ReductionTerm& term = terms[k];
    const double* sum_gx = scratch.sum_gx(0, i);
    if (const TensorView gradient = gradient_of(k)) {
      finish_normalisation_gradient(term.normalisation, g.pixels(), w.f32()[term.weight], scratch.sum_g(0), sum_gx,
                                    gradient);
    }
    if (gradients.dw) {
      double total = 0.0;
      for (std::int64_t c = 0; c < channels; ++c)
        total += static_cast<double>(rstd_of(term, c)) * sum_gx[c];
      float& target = gradients.dw.f32()[term.weight];
      target = static_cast<float>(static_cast<double>(target) + total);
    }
  }
}

}  // namespace dnas::kernels::cpu
