#include "core/batch_moments.hpp"

#include <cmath>

namespace dnas::kernels {

namespace {

struct Statistics {
  double mean;
  double squares;  // sum of (x - mean)^2
};

Statistics channel_statistics(const Blocks& pieces, const float* moments, std::int64_t stride, std::int64_t channel) {
  const std::int64_t count = pieces.count();
  const auto moment = [&](std::int64_t piece, MomentRow row) {
    return static_cast<double>(moments[(piece * moment_rows + row) * stride + channel]);
  };
  const auto pixels = [&](std::int64_t piece) { return static_cast<double>(pieces.end(piece) - pieces.begin(piece)); };
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i)
    sum += pixels(i) * moment(i, shift_row) + moment(i, sum_row);
  const double mean = sum / static_cast<double>(pieces.total);
  double squares = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double shift = moment(i, shift_row) - mean;
    squares += moment(i, square_row) + shift * (2.0 * moment(i, sum_row) + pixels(i) * shift);
  }
  // Rounding may push the squares of a constant channel below 0; NaN must stay NaN.
  return {mean, squares < 0.0 ? 0.0 : squares};
}

}  // namespace

void finish_statistics(const BatchNorm& bn, const Blocks& pieces, const float* moments, std::int64_t stride,
                       std::span<const RunningStatistics> running, const TensorView& normalisation) {
  const std::int64_t channels = normalisation.channels();
  const auto pixels = static_cast<double>(pieces.total);
  const double momentum = static_cast<double>(bn.momentum);
  for (std::int64_t c = 0; c < channels; ++c) {
    const Statistics s = channel_statistics(pieces, moments, stride, c);
    normalisation.f32()[mean_row * channels + c] = static_cast<float>(s.mean);
    normalisation.f32()[rstd_row * channels + c] =
        static_cast<float>(1.0 / std::sqrt(s.squares / pixels + static_cast<double>(bn.epsilon)));
    const double unbiased = pieces.total > 1 ? s.squares / (pixels - 1.0) : s.squares / pixels;
    for (const RunningStatistics& r : running) {
      if (!r.mean) continue;
      float& mean = r.mean.f32()[c];
      float& var = r.var.f32()[c];
      mean = static_cast<float>((1.0 - momentum) * static_cast<double>(mean) + momentum * s.mean);
      var = static_cast<float>((1.0 - momentum) * static_cast<double>(var) + momentum * unbiased);
    }
  }
}

void finish_normalisation_gradient(const TensorView& normalisation, std::int64_t pixels, float weight,
                                   const double* sum_g, const double* sum_gx, const TensorView& gradient) {
  const std::int64_t channels = normalisation.channels();
  const float* n = normalisation.f32();
  float* out = gradient.f32();
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto rstd = static_cast<double>(n[rstd_row * channels + c]);
    const double scale = static_cast<double>(weight) * rstd;
    out[scale_row * channels + c] = static_cast<float>(scale);
    out[slope_row * channels + c] = static_cast<float>(-scale * rstd * rstd * sum_gx[c] / static_cast<double>(pixels));
    out[centre_row * channels + c] = n[mean_row * channels + c];
    out[offset_row * channels + c] = static_cast<float>(-scale * sum_g[c] / static_cast<double>(pixels));
  }
}

}  // namespace dnas::kernels
