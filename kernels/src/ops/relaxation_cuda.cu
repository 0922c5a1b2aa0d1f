#include "ops/relaxation_cuda.hpp"

#include "core/launch.cuh"
#include "core/philox.cuh"
#include "core/warp_rows.cuh"

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 128;
constexpr int rows_per_block = threads / 32;

// --- device helpers -------------------------------------------------------------------------------------------------

/// The row of this warp, the same for its lanes.
__device__ __forceinline__ std::int64_t my_row() {
  return std::int64_t{blockIdx.x} * rows_per_block + static_cast<int>(threadIdx.x) / 32;
}

// --- kernels --------------------------------------------------------------------------------------------------------

/// Softmax of x, or of (x + g) / tau with Gumbel noise.
template <bool Gumbel>
__global__ void __launch_bounds__(threads)
    softmax_kernel(const float* x, std::int64_t rows, int entries, const RelaxationStep* step,
                   const RelaxationNoise noise, float* p, float* hard) {
  const std::int64_t row = my_row();
  if (row >= rows) return;
  const std::int64_t first = row * entries;
  PhiloxStream draws{noise.seed, static_cast<std::uint32_t>(noise.stream), 0};
  double tau = 1.0;
  if constexpr (Gumbel) {
    draws.step = step->step;
    tau = static_cast<double>(step->tau);
  }
  const auto logit = [&](int k) {
    const auto value = static_cast<double>(x[first + k]);
    if constexpr (!Gumbel) return value;
    return (value + draws.gumbel(noise.first + static_cast<std::uint64_t>(first + k))) / tau;
  };
  const RowSoftmax softmax(entries, logit);
  // p may be x: a lane writes what it alone reads.
  for (int k = lane_id(); k < entries; k += 32) {
    const double above = logit(k) - softmax.max;
    p[first + k] = static_cast<float>(exp(above) / softmax.sum);
    if (hard == nullptr) continue;
    const float selected = k == softmax.first_max ? 1.0F : 0.0F;
    hard[first + k] = isnan(softmax.sum) ? static_cast<float>(softmax.sum) : selected;
  }
}

/// dx = p * (dp - sum of dp * p), divided by tau if there is one.
__global__ void __launch_bounds__(threads) softmax_backward_kernel(const float* p, const float* dp, std::int64_t rows,
                                                                   int entries, const RelaxationStep* step, float* dx) {
  const std::int64_t row = my_row();
  if (row >= rows) return;
  const std::int64_t first = row * entries;
  double dot = 0.0;
  for (int k = lane_id(); k < entries; k += 32)
    dot += static_cast<double>(dp[first + k]) * static_cast<double>(p[first + k]);
  dot = warp_sum(dot);
  const double scale = step != nullptr ? 1.0 / static_cast<double>(step->tau) : 1.0;
  for (int k = lane_id(); k < entries; k += 32) {
    const double inner = static_cast<double>(dp[first + k]) - dot;
    dx[first + k] = static_cast<float>(static_cast<double>(p[first + k]) * inner * scale);
  }
}

__global__ void __launch_bounds__(threads) sigmoid_kernel(const float* alpha, std::int64_t count, float* w) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) w[i] = static_cast<float>(1.0 / (1.0 + exp(-static_cast<double>(alpha[i]))));
}

__global__ void __launch_bounds__(threads)
    sigmoid_backward_kernel(const float* w, const float* dw, std::int64_t count, float* dalpha) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) dalpha[i] = dw[i] * w[i] * (1.0F - w[i]);
}

// --- launchers ------------------------------------------------------------------------------------------------------

unsigned blocks_for(std::int64_t count, int per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

}  // namespace

void softmax_forward(const TensorView& x, const TensorView& p, void* stream) {
  if (x.elements() == 0) return;
  launch("softmax_forward", softmax_kernel<false>, {blocks_for(x.pixels(), rows_per_block), threads}, stream, x.f32(),
         x.pixels(), static_cast<int>(x.channels()), nullptr, RelaxationNoise{}, p.f32(), nullptr);
}

void softmax_backward(const TensorView& p, const TensorView& dp, const TensorView& dx, void* stream) {
  if (p.elements() == 0) return;
  launch("softmax_backward", softmax_backward_kernel, {blocks_for(p.pixels(), rows_per_block), threads}, stream,
         p.f32(), dp.f32(), p.pixels(), static_cast<int>(p.channels()), nullptr, dx.f32());
}

void sigmoid_forward(const TensorView& alpha, const TensorView& w, void* stream) {
  if (alpha.elements() == 0) return;
  launch("sigmoid_forward", sigmoid_kernel, {blocks_for(alpha.elements(), threads), threads}, stream, alpha.f32(),
         alpha.elements(), w.f32());
}

void sigmoid_backward(const TensorView& w, const TensorView& dw, const TensorView& dalpha, void* stream) {
  if (w.elements() == 0) return;
  launch("sigmoid_backward", sigmoid_backward_kernel, {blocks_for(w.elements(), threads), threads}, stream, w.f32(),
         dw.f32(), w.elements(), dalpha.f32());
}

void gumbel_softmax_forward(const TensorView& alpha, const RelaxationStep* step, const RelaxationNoise& noise,
                            const TensorView& p, const TensorView& hard, void* stream) {
  if (alpha.elements() == 0) return;
  launch("gumbel_softmax_forward", softmax_kernel<true>, {blocks_for(alpha.pixels(), rows_per_block), threads}, stream,
         alpha.f32(), alpha.pixels(), static_cast<int>(alpha.channels()), step, noise, p.f32(), hard.f32());
}

void gumbel_softmax_backward(const TensorView& p, const TensorView& dw, const RelaxationStep* step,
                             const TensorView& dalpha, void* stream) {
  if (p.elements() == 0) return;
  launch("gumbel_softmax_backward", softmax_backward_kernel, {blocks_for(p.pixels(), rows_per_block), threads}, stream,
         p.f32(), dw.f32(), p.pixels(), static_cast<int>(p.channels()), step, dalpha.f32());
}

}  // namespace dnas::kernels::cuda
