#include "ops/normalisation_cpu.hpp"

#include "core/batch_moments.hpp"
#include "core/blocks.hpp"
#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "ops/affine_sum.hpp"
#include "ops/column_sums.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

/// The pieces of a walk over channels, counted in pixels.
Blocks pixels_of(const RowWalk& walk, const TensorView& x) {
  return {x.pixels(), walk.rows_per_piece * (walk.flat ? walk.width / x.channels() : 1)};
}

/// The workspace of batch_statistics: f64 sums and squares per column [pieces][2][width], f32 shifts [pieces][width]
/// and moments [pieces][moment_rows][C].
class StatisticsScratch {
 public:
  StatisticsScratch(const RowWalk& walk, std::int64_t channels, std::span<std::byte> workspace)
      : width_(walk.width),
        channels_(channels),
        sums_(reinterpret_cast<double*>(workspace.data())),
        shifts_(reinterpret_cast<float*>(sums_ + walk.pieces * 2 * walk.width)),
        moments_(shifts_ + walk.pieces * walk.width) {}

  [[nodiscard]] static std::size_t bytes(const RowWalk& walk, std::int64_t channels) {
    return static_cast<std::size_t>(walk.pieces) *
           (static_cast<std::size_t>(walk.width) * (2 * sizeof(double) + sizeof(float)) +
            static_cast<std::size_t>(moment_rows * channels) * sizeof(float));
  }

  [[nodiscard]] double* sum(std::int64_t piece) const { return sums_ + piece * 2 * width_; }
  [[nodiscard]] double* square(std::int64_t piece) const { return sum(piece) + width_; }
  [[nodiscard]] float* shift(std::int64_t piece) const { return shifts_ + piece * width_; }
  [[nodiscard]] const float* moments() const { return moments_; }

  /// Sums of 0, about the channels of a pixel.
  void start(std::int64_t piece, const float* pixel) const {
    std::fill_n(sum(piece), 2 * width_, 0.0);
    ColumnGroups::spread(shift(piece), 0, width_, channels_, [&](std::int64_t c) { return pixel[c]; });
  }

  /// Adds up the columns of each channel.
  void finish(std::int64_t piece) const {
    float* moment = moments_ + piece * moment_rows * channels_;
    std::copy_n(shift(piece), channels_, moment + shift_row * channels_);
    fold(sum(piece), moment + sum_row * channels_);
    fold(square(piece), moment + square_row * channels_);
  }

 private:
  void fold(const double* columns, float* to) const {
    for (std::int64_t c = 0; c < channels_; ++c) {
      double total = 0.0;
      for (std::int64_t i = c; i < width_; i += channels_)
        total += columns[i];
      to[c] = static_cast<float>(total);
    }
  }

  std::int64_t width_;
  std::int64_t channels_;
  double* sums_;
  float* shifts_;
  float* moments_;
};

/// Everything in a normalisation's gradients that does not depend on g: slope * (x - centre) + offset. A sum of such
/// lines is one line, of which x is read once.
struct Line {
  double centre;
  double slope = 0.0;
  double offset = 0.0;
};

Line sum_of_lines(std::span<const TensorView> gradients, std::int64_t channels, std::int64_t channel) {
  const auto of = [&](const TensorView& gradient, NormalisationGradientRow row) {
    return static_cast<double>(gradient.f32()[row * channels + channel]);
  };
  Line line{of(gradients[0], centre_row)};
  for (const TensorView& gradient : gradients) {
    const double slope = of(gradient, slope_row);
    line.slope += slope;
    // Normalisations of one tensor have one mean: the difference is 0.
    line.offset += of(gradient, offset_row) + slope * (line.centre - of(gradient, centre_row));
  }
  return line;
}

}  // namespace

std::size_t batch_statistics_workspace(const Shape& x) {
  // A slice is walked in other rows than a dense tensor; the answer is for both.
  const std::int64_t channels = TensorView(nullptr, x).channels();
  return std::max(StatisticsScratch::bytes(RowWalk::over_channels(x, true), channels),
                  StatisticsScratch::bytes(RowWalk::over_channels(x, false), channels));
}

void batch_statistics(const Context& ctx, const BatchNorm& bn, const TensorView& x,
                      std::span<const RunningStatistics> running, const TensorView& normalisation,
                      std::span<std::byte> workspace) {
  const RowWalk walk = RowWalk::over_channels(x.shape, x.dense());
  const StatisticsScratch scratch(walk, x.channels(), workspace);
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    // Each piece is shifted by values of its own.
    scratch.start(piece, walk.rows_of(x, walk.first_row(piece)).data);
    walk.for_blocks(piece, sum_block(walk.width), [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      add_moments(walk.rows_of(x, row), scratch.shift(piece), scratch.sum(piece), scratch.square(piece), rows, columns);
    });
    scratch.finish(piece);
  });
  finish_statistics(bn, pixels_of(walk, x), scratch.moments(), x.channels(), running, normalisation);
}

void normalisation_backward(const Context& ctx, const TensorView& x, std::span<const TensorView> g,
                            std::span<const TensorView> gradients, const TensorView& dx, Write write) {
  const bool dense = all_dense({x, dx}) && all_dense(g);
  const RowWalk walk = RowWalk::over_channels(x.shape, dense);
  const std::int64_t channels = x.channels();

  const std::size_t terms = 1 + g.size();  // x, then the g
  const ColumnGroups groups(static_cast<std::int64_t>(terms));
  alignas(64) std::array<float, ColumnGroups::widest> offset;
  alignas(64) std::array<float, ColumnGroups::widest> centre;
  alignas(64) std::array<float, ColumnGroups::widest> no_centre{};
  alignas(64) std::array<float, ColumnGroups::floats> scale;
  for (std::int64_t first = 0; first < walk.width; first += groups.stride) {
    const std::int64_t width = std::min(groups.stride, walk.width - first);
    const auto spread = [&](float* to, auto of) { ColumnGroups::spread(to, first, width, channels, of); };
    const auto line = [&](std::int64_t c) { return sum_of_lines(gradients, channels, c); };
    spread(offset.data(), [&](std::int64_t c) { return static_cast<float>(line(c).offset); });
    spread(centre.data(), [&](std::int64_t c) { return static_cast<float>(line(c).centre); });
    spread(scale.data(), [&](std::int64_t c) { return static_cast<float>(line(c).slope); });
    for (std::size_t e = 0; e < g.size(); ++e) {
      spread(groups.of(scale.data(), e + 1),
             [&](std::int64_t c) { return gradients[e].f32()[scale_row * channels + c]; });
    }
    parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
      // dx may be any of the tensors, so it is written when all have been read.
      alignas(64) std::array<float, sum_block_floats> sum;
      walk.for_blocks(piece, sum_block_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
        const auto rows_of = [&](const TensorView& t) {
          const Rows whole = walk.rows_of(t, row);
          return Rows{whole(0, first), whole.stride};
        };
        const auto term = [&](std::size_t k) {
          return k == 0 ? AffineTerm{rows_of(x), centre.data(), scale.data()}
                        : AffineTerm{rows_of(g[k - 1]), no_centre.data(), groups.of(scale.data(), k)};
        };
        const Rows to = rows_of(dx);
        affine_sum(terms, term, offset.data(), write == Write::accumulate ? to : Rows{}, {sum.data(), width}, to, rows,
                   std::min(width, columns - first));
      });
    });
  }
}

}  // namespace dnas::kernels::cpu
