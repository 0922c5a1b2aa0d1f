#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/pool_cpu.hpp"

#include <cstdint>

namespace dnas::kernels::cpu {
namespace {

/// y[c] = mean over `pixels` of x[pixel, c], summed in order of pixels.
DNAS_MULTIVERSION void mean_image(const float* __restrict x, std::int64_t pixels, std::int64_t pixel_stride,
                                  std::int64_t channels, float* __restrict y) {
  for (std::int64_t c = 0; c < channels; ++c)
    y[c] = 0.0F;
  for (std::int64_t p = 0; p < pixels; ++p, x += pixel_stride) {
    for (std::int64_t c = 0; c < channels; ++c)
      y[c] += x[c];
  }
  const float count = static_cast<float>(pixels);
  for (std::int64_t c = 0; c < channels; ++c)
    y[c] /= count;
}

DNAS_MULTIVERSION void spread_image(const float* __restrict dy, std::int64_t pixels, std::int64_t pixel_stride,
                                    std::int64_t channels, float* __restrict dx, bool add) {
  const float count = static_cast<float>(pixels);
  for (std::int64_t p = 0; p < pixels; ++p, dx += pixel_stride) {
    if (add) {
      for (std::int64_t c = 0; c < channels; ++c)
        dx[c] += dy[c] / count;
    } else {
      for (std::int64_t c = 0; c < channels; ++c)
        dx[c] = dy[c] / count;
    }
  }
}

}  // namespace

void global_avg_pool_forward(const Context& ctx, const TensorView& x, const TensorView& y) {
  const std::int64_t pixels = x.shape[1] * x.shape[2];
  const std::int64_t channels = x.channels();
  parallel_for(ctx, x.shape[0], [&](std::int64_t n) {
    mean_image(x.f32() + n * pixels * x.pixel_stride, pixels, x.pixel_stride, channels, y.f32() + n * channels);
  });
}

void global_avg_pool_backward(const Context& ctx, const TensorView& dy, const TensorView& dx, Write write) {
  const std::int64_t pixels = dx.shape[1] * dx.shape[2];
  const std::int64_t channels = dx.channels();
  parallel_for(ctx, dx.shape[0], [&](std::int64_t n) {
    spread_image(dy.f32() + n * channels, pixels, dx.pixel_stride, channels, dx.f32() + n * pixels * dx.pixel_stride,
                 write == Write::accumulate);
  });
}

}  // namespace dnas::kernels::cpu
