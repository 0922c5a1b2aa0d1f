#include "ops/cross_entropy_cuda.hpp"

#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/reduce.cuh"
#include "core/warp_rows.cuh"

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr int rows_per_block = threads / 32;

// --- kernels --------------------------------------------------------------------------------------------------------

/// A row per warp: its p and its loss; the last block adds the losses [rows].
__global__ void __launch_bounds__(threads)
    forward_kernel(const float* logits, const std::int64_t* labels, std::int64_t rows, int classes, double smoothing,
                   float* p, double* losses, unsigned* counter, float* loss) {
  __shared__ double scratch[threads / 32];
  const std::int64_t row = std::int64_t{blockIdx.x} * rows_per_block + static_cast<int>(threadIdx.x) / 32;
  if (row < rows) {
    const float* const x = logits + row * classes;
    const auto logit = [&](int k) { return static_cast<double>(x[k]); };
    const RowSoftmax softmax(classes, logit);
    double sum_of_logits = 0.0;  // above the largest
    for (int k = lane_id(); k < classes; k += 32) {
      const double above = logit(k) - softmax.max;
      sum_of_logits += above;
      p[row * classes + k] = static_cast<float>(exp(above) / softmax.sum);
    }
    sum_of_logits = warp_sum(sum_of_logits);
    if (lane_id() == 0) {
      const std::int64_t label = labels[row];
      double value = NAN;
      if (label >= 0 && label < classes) {
        // log p[k] = logits[k] - max - log(sum): no logarithm of a probability that underflowed. Without smoothing, an
        // infinitely unlikely other class must not turn 0 * inf into NaN.
        const double log_sum = log(softmax.sum);
        const double label_term = logit(static_cast<int>(label)) - softmax.max - log_sum;
        value = smoothing == 0.0 ? -label_term
                                 : -(1.0 - smoothing) * label_term -
                                       smoothing * (sum_of_logits / static_cast<double>(classes) - log_sum);
      }
      losses[row] = value;
    }
  }
  if (!arrives_last(counter, gridDim.x)) return;
  double total = 0.0;
  for (std::int64_t r = threadIdx.x; r < rows; r += threads)
    total += losses[r];
  total = block_sum<threads>(total, scratch);
  if (threadIdx.x == 0) *loss = static_cast<float>(total / static_cast<double>(rows));
}

/// dlogits = (p - target) / rows.
__global__ void __launch_bounds__(threads)
    backward_kernel(const float* p, const std::int64_t* labels, std::int64_t rows, int classes, float smoothing,
                    float* dlogits) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= rows * classes) return;
  const std::int64_t row = i / classes;
  const float others = smoothing / static_cast<float>(classes);
  const float target = i - row * classes == labels[row] ? 1.0F - smoothing + others : others;
  dlogits[i] = (p[i] - target) * (1.0F / static_cast<float>(rows));
}

// --- launchers ------------------------------------------------------------------------------------------------------

unsigned blocks_for(std::int64_t count, int per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

}  // namespace

std::size_t cross_entropy_workspace(std::int64_t rows) {
  return counter_bytes(1) + static_cast<std::size_t>(rows) * sizeof(double);
}

void cross_entropy_forward(const TensorView& logits, const TensorView& labels, float smoothing, const TensorView& loss,
                           const TensorView& p, std::span<std::byte> workspace, void* stream) {
  const std::int64_t rows = logits.shape[0];
  launch("cross_entropy_forward", forward_kernel, {blocks_for(rows, rows_per_block), threads}, stream, logits.f32(),
         labels.i64(), rows, static_cast<int>(logits.shape[1]), static_cast<double>(smoothing), p.f32(),
         reinterpret_cast<double*>(workspace.data() + counter_bytes(1)), reinterpret_cast<unsigned*>(workspace.data()),
         loss.f32());
}

void cross_entropy_backward(const TensorView& p, const TensorView& labels, float smoothing, const TensorView& dlogits,
                            void* stream) {
  launch("cross_entropy_backward", backward_kernel, {blocks_for(p.elements(), threads), threads}, stream, p.f32(),
         labels.i64(), p.shape[0], static_cast<int>(p.shape[1]), smoothing, dlogits.f32());
}

}  // namespace dnas::kernels::cuda
