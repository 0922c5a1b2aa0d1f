#include "ops/batch_norm_cpu.hpp"

#include "core/parallel_for.hpp"
#include "core/row_walk.hpp"
#include "core/simd.hpp"
#include "ops/column_sums.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

// A tensor is walked as rows of `width` columns; column i belongs to channel i % C (row_walk.hpp). Every per-channel
// number is spread over the columns first, so that the inner loops know nothing of channels.
namespace dnas::kernels::cpu {
namespace {

constexpr std::int64_t max_sums = 3;    // f64 sums per column and piece: the backward pass needs three
constexpr std::int64_t max_params = 4;  // f32 parameters per column

/// Floats summed in f32 before they go to f64, over all columns: 16 KiB, so that x and dy share L1 while blocks of
/// columns take turns, and at most 128 terms per sum.
constexpr std::int64_t run_floats = 4096;

// ---- inner loops

/// sums[0] += dy, sums[1] += dy * (x - mean), sums[2] += x - mean, per column; the three lie `width_of_sums` apart.
DNAS_MULTIVERSION
void add_gradient_sums(ConstRows x, ConstRows dy, const float* mean, double* sums, std::int64_t width_of_sums,
                       std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float centre[lanes];
        float g[lanes] = {};
        float gx[lanes] = {};
        float r[lanes] = {};
        std::copy_n(mean + column, int{lanes}, centre);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* in = x(row, column);
          const float* gradient = dy(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float d = in[i] - centre[i];
            g[i] += gradient[i];
            gx[i] += gradient[i] * d;
            r[i] += d;
          }
        }
        double* to = sums + column;
#pragma omp simd
        for (int i = 0; i < lanes; ++i) {
          to[i] += static_cast<double>(g[i]);
          to[width_of_sums + i] += static_cast<double>(gx[i]);
          to[2 * width_of_sums + i] += static_cast<double>(r[i]);
        }
      });
}

/// y = (x - centre) * scale + bias. Subtracting first keeps the digits that a large mean would cost.
DNAS_MULTIVERSION
void normalise(ConstRows x, const float* centre, const float* scale, const float* bias, Rows y, std::int64_t rows,
               std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float m[lanes];
        float s[lanes];
        float b[lanes];
        std::copy_n(centre + column, int{lanes}, m);
        std::copy_n(scale + column, int{lanes}, s);
        std::copy_n(bias + column, int{lanes}, b);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* from = x(row, column);
          float* to = y(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i)
            to[i] = (from[i] - m[i]) * s[i] + b[i];
        }
      });
}

/// dx (+)= scale * dy + slope * (x - mean) + offset.
template <Write write>
[[gnu::always_inline]] inline void input_gradient_block(ConstRows x, ConstRows dy, const float* mean,
                                                        const float* scale, const float* slope, const float* offset,
                                                        Rows dx, std::int64_t rows, std::int64_t width) {
  for_column_blocks(
      width, [&](auto lanes, std::int64_t column) __attribute__((always_inline)) {
        float m[lanes];
        float s[lanes];
        float k[lanes];
        float b[lanes];
        std::copy_n(mean + column, int{lanes}, m);
        std::copy_n(scale + column, int{lanes}, s);
        std::copy_n(slope + column, int{lanes}, k);
        std::copy_n(offset + column, int{lanes}, b);
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* in = x(row, column);
          const float* gradient = dy(row, column);
          float* to = dx(row, column);
#pragma omp simd
          for (int i = 0; i < lanes; ++i) {
            const float d = s[i] * gradient[i] + (k[i] * (in[i] - m[i]) + b[i]);
            to[i] = write == Write::accumulate ? to[i] + d : d;
          }
        }
      });
}

DNAS_MULTIVERSION
void input_gradient(ConstRows x, ConstRows dy, const float* mean, const float* scale, const float* slope,
                    const float* offset, Rows dx, Write write, std::int64_t rows, std::int64_t width) {
  if (write == Write::accumulate) {
    input_gradient_block<Write::accumulate>(x, dy, mean, scale, slope, offset, dx, rows, width);
  } else {
    input_gradient_block<Write::overwrite>(x, dy, mean, scale, slope, offset, dx, rows, width);
  }
}

// ---- scratch

/// The workspace: f64 sums [pieces][max_sums][width], then f32 parameters [max_params][width].
class Scratch {
 public:
  Scratch(const RowWalk& walk, std::span<std::byte> workspace)
      : width_(walk.width),
        pieces_(walk.pieces),
        sums_(reinterpret_cast<double*>(workspace.data())),
        params_(reinterpret_cast<float*>(sums_ + walk.pieces * max_sums * walk.width)) {}

  [[nodiscard]] static std::size_t bytes(const RowWalk& walk) {
    return static_cast<std::size_t>(walk.width) *
           (static_cast<std::size_t>(walk.pieces * max_sums) * sizeof(double) + max_params * sizeof(float));
  }

  [[nodiscard]] double* sum(std::int64_t piece, std::int64_t which) const {
    return sums_ + (piece * max_sums + which) * width_;
  }
  [[nodiscard]] float* param(std::int64_t which) const { return params_ + which * width_; }

  void clear(std::int64_t piece) const { std::fill_n(sum(piece, 0), max_sums * width_, 0.0); }

  /// Adds all pieces up in order, then the columns of each channel: sum(0, which)[c] is the total of channel c.
  void reduce(std::int64_t channels) const {
    double* total = sum(0, 0);
    for (std::int64_t piece = 1; piece < pieces_; ++piece) {
      const double* part = sum(piece, 0);
      for (std::int64_t i = 0; i < max_sums * width_; ++i)
        total[i] += part[i];
    }
    for (std::int64_t which = 0; which < max_sums; ++which) {
      double* columns = sum(0, which);
      for (std::int64_t i = channels; i < width_; ++i)
        columns[i % channels] += columns[i];
    }
  }

  /// Repeats the first `channels` entries of a parameter over all columns.
  void spread(std::int64_t which, std::int64_t channels) const {
    float* columns = param(which);
    for (std::int64_t i = channels; i < width_; ++i)
      columns[i] = columns[i - channels];
  }

 private:
  std::int64_t width_;
  std::int64_t pieces_;
  double* sums_;
  float* params_;
};

}  // namespace

std::size_t batch_norm_workspace(const Shape& x) {
  // A slice is walked in other rows than a dense tensor; the answer is for both.
  return std::max(Scratch::bytes(RowWalk::over_channels(x, true)), Scratch::bytes(RowWalk::over_channels(x, false)));
}

void batch_norm_forward(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                        const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd,
                        std::span<std::byte> workspace) {
  const RowWalk walk = RowWalk::over_channels(x.shape, all_dense({x, y}));
  const Scratch scratch(walk, workspace);
  const std::int64_t channels = x.channels();
  const auto pixels = static_cast<double>(x.pixels());

  float* shift = scratch.param(0);
  std::copy_n(x.f32(), channels, shift);
  scratch.spread(0, channels);
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    scratch.clear(piece);
    walk.for_blocks(piece, run_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      add_moments(walk.rows_of(x, row), shift, scratch.sum(piece, 0), scratch.sum(piece, 1), rows, columns);
    });
  });
  scratch.reduce(channels);

  float* scale = scratch.param(1);
  float* bias = scratch.param(2);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double above_shift = scratch.sum(0, 0)[c] / pixels;
    // Rounding may push the variance of a constant channel below 0; NaN must stay NaN.
    const double difference = scratch.sum(0, 1)[c] / pixels - above_shift * above_shift;
    const double variance = difference < 0.0 ? 0.0 : difference;
    const double batch_mean = static_cast<double>(shift[c]) + above_shift;
    const double batch_rstd = 1.0 / std::sqrt(variance + static_cast<double>(bn.epsilon));
    mean.f32()[c] = static_cast<float>(batch_mean);
    rstd.f32()[c] = static_cast<float>(batch_rstd);
    if (running_mean) {
      const double momentum = bn.momentum;
      // One pixel has no unbiased variance; the biased one keeps the estimate finite.
      const double unbiased = pixels > 1.0 ? variance * (pixels / (pixels - 1.0)) : variance;
      float& rm = running_mean.f32()[c];
      float& rv = running_var.f32()[c];
      rm = static_cast<float>((1.0 - momentum) * static_cast<double>(rm) + momentum * batch_mean);
      rv = static_cast<float>((1.0 - momentum) * static_cast<double>(rv) + momentum * unbiased);
    }
    const double factor = gamma ? batch_rstd * static_cast<double>(gamma.f32()[c]) : batch_rstd;
    const double constant = beta ? static_cast<double>(beta.f32()[c]) : 0.0;
    scale[c] = static_cast<float>(factor);
    // From the shift, not from the rounded mean, which for |mean| >> std is off by a part of std.
    bias[c] = static_cast<float>(constant - above_shift * factor);
  }
  scratch.spread(1, channels);
  scratch.spread(2, channels);

  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    walk.for_blocks(piece, run_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      normalise(walk.rows_of(x, row), shift, scale, bias, walk.rows_of(y, row), rows, columns);
    });
  });
}

void batch_norm_inference(const Context& ctx, const BatchNorm& bn, const TensorView& x, const TensorView& gamma,
                          const TensorView& beta, const TensorView& running_mean, const TensorView& running_var,
                          const TensorView& y) {
  const RowWalk walk = RowWalk::over_channels(x.shape, all_dense({x, y}));
  const std::int64_t channels = x.channels();

  // There is no workspace: the parameters of one group of columns at a time are on the stack.
  constexpr std::int64_t group = 1024;
  alignas(64) std::array<float, group> centre;
  alignas(64) std::array<float, group> scale;
  alignas(64) std::array<float, group> bias;
  for (std::int64_t first = 0; first < walk.width; first += group) {
    const std::int64_t width = std::min(group, walk.width - first);
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t c = (first + i) % channels;
      const auto column = static_cast<std::size_t>(i);
      const double variance = running_var.f32()[c];
      const double factor =
          (gamma ? static_cast<double>(gamma.f32()[c]) : 1.0) / std::sqrt(variance + static_cast<double>(bn.epsilon));
      centre[column] = running_mean.f32()[c];
      scale[column] = static_cast<float>(factor);
      bias[column] = beta ? beta.f32()[c] : 0.0F;
    }
    parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
      walk.for_blocks(piece, run_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
        const Rows from = walk.rows_of(x, row);
        const Rows to = walk.rows_of(y, row);
        normalise(Rows{from(0, first), from.stride}, centre.data(), scale.data(), bias.data(),
                  Rows{to(0, first), to.stride}, rows, std::min(width, columns - first));
      });
    });
  }
}

void batch_norm_backward(const Context& ctx, const TensorView& x, const TensorView& gamma, const TensorView& mean,
                         const TensorView& rstd, const TensorView& dy, const TensorView& dx, Write write_dx,
                         const TensorView& dgamma, const TensorView& dbeta, std::span<std::byte> workspace) {
  if (!dx && !dgamma && !dbeta) return;
  const RowWalk walk = RowWalk::over_channels(x.shape, all_dense({x, dy, dx}));
  const Scratch scratch(walk, workspace);
  const std::int64_t channels = x.channels();
  const auto pixels = static_cast<double>(x.pixels());

  float* centre = scratch.param(0);
  std::copy_n(mean.f32(), channels, centre);
  scratch.spread(0, channels);
  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    scratch.clear(piece);
    walk.for_blocks(piece, run_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      add_gradient_sums(walk.rows_of(x, row), walk.rows_of(dy, row), centre, scratch.sum(piece, 0), walk.width, rows,
                        columns);
    });
  });
  scratch.reduce(channels);

  float* scale = scratch.param(1);
  float* slope = scratch.param(2);
  float* offset = scratch.param(3);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double sum_dy = scratch.sum(0, 0)[c];
    // What rounding to f32 took from the mean: the mean of x - centre. For |mean| >> std it is a part of std.
    const double residual = scratch.sum(0, 2)[c] / pixels;
    const double r = rstd.f32()[c];
    const double sum_dy_xhat = (scratch.sum(0, 1)[c] - residual * sum_dy) * r;
    if (dgamma) dgamma.f32()[c] = static_cast<float>(sum_dy_xhat);
    if (dbeta) dbeta.f32()[c] = static_cast<float>(sum_dy);
    // dx = factor * (dy - sum_dy / M - xhat * sum_dy_xhat / M) with xhat = (x - centre - residual) * r.
    const double factor = gamma ? r * static_cast<double>(gamma.f32()[c]) : r;
    const double per_x = -factor * r * sum_dy_xhat / pixels;
    scale[c] = static_cast<float>(factor);
    slope[c] = static_cast<float>(per_x);
    offset[c] = static_cast<float>(-factor * sum_dy / pixels - per_x * residual);
  }
  if (!dx) return;
  for (std::int64_t which = 1; which < max_params; ++which)
    scratch.spread(which, channels);

  parallel_for(ctx, walk.pieces, [&](std::int64_t piece) {
    walk.for_blocks(piece, run_floats, [&](std::int64_t row, std::int64_t rows, std::int64_t columns) {
      input_gradient(walk.rows_of(x, row), walk.rows_of(dy, row), centre, scale, slope, offset, walk.rows_of(dx, row),
                     write_dx, rows, columns);
    });
  });
}

}  // namespace dnas::kernels::cpu
