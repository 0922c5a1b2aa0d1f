#include "ops/optimizer_step_cuda.hpp"

#include "core/last_block.cuh"
#include "core/launch.cuh"
#include "core/reduce.cuh"
#include "core/vec.cuh"

#include <algorithm>
#include <cstdint>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr int max_blocks = 1024;  // several for each multiprocessor of an H100; larger arrays are walked with a stride

// --- device helpers -------------------------------------------------------------------------------------------------

/// Calls body(i) for i in [0, count), divided over the whole grid.
template <typename Body>
__device__ __forceinline__ void grid_for(std::int64_t count, Body&& body) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * threads) {
    body(i);
  }
}

/// The bias corrections of an AdamStep.
struct AdamFactors {
  float step_size;     // lr / (1 - b1^t)
  float v_correction;  // 1 / sqrt(1 - b2^t)
};

__device__ __forceinline__ AdamFactors adam_factors(const AdamStep& step) {
  // In f64: for small t, 1 - b2^t would lose most of its digits in f32.
  const auto t = static_cast<double>(step.t);
  return {static_cast<float>(step.learning_rate / (1.0 - pow(static_cast<double>(step.beta1), t))),
          static_cast<float>(1.0 / sqrt(1.0 - pow(static_cast<double>(step.beta2), t)))};
}

// --- kernels --------------------------------------------------------------------------------------------------------
// `count` is in vectors of Width floats.

/// partial[block] = sum of squares of the block's elements; `tail` elements follow the vectors. The last block adds
/// them up and, if asked for, derives the scale that clips to `max_norm`.
template <int Width>
__global__ void __launch_bounds__(threads)
    sum_squares_kernel(const float* x, std::int64_t count, int tail, double* partial, unsigned* counter, double* result,
                       double max_norm, float* scale) {
  __shared__ double scratch[threads / 32];
  const int thread = static_cast<int>(threadIdx.x);
  double total = 0.0;
  grid_for(count, [&](std::int64_t i) {
    const Vec<Width> value = load<Width>(x + i * Width);
    for (int j = 0; j < Width; ++j)
      total += static_cast<double>(value.lane[j]) * static_cast<double>(value.lane[j]);
  });
  if (blockIdx.x == 0 && thread < tail) {
    const auto value = static_cast<double>(x[count * Width + thread]);
    total += value * value;
  }
  const double sum = block_sum<threads>(total, scratch);
  if (thread == 0) partial[blockIdx.x] = sum;

  if (!arrives_last(counter, gridDim.x)) return;
  total = 0.0;
  for (int b = thread; b < static_cast<int>(gridDim.x); b += threads)
    total += partial[b];
  const double squared = block_sum<threads>(total, scratch);
  if (thread != 0) return;
  *result = squared;
  if (scale != nullptr) {
    const double factor = max_norm / (sqrt(squared) + 1e-6);
    *scale = factor > 1.0 ? 1.0F : static_cast<float>(factor);  // this way round NaN stays NaN
  }
}

template <int Width>
__global__ void __launch_bounds__(threads) axpy_kernel(const float* a, const float* x, float* y, std::int64_t count) {
  const float factor = *a;
  grid_for(count, [&](std::int64_t i) {
    const Vec<Width> from = load<Width>(x + i * Width);
    Vec<Width> to = load<Width>(y + i * Width);
    for (int j = 0; j < Width; ++j)
      to.lane[j] = fmaf(factor, from.lane[j], to.lane[j]);
    store(y + i * Width, to);
  });
}

template <int Width>
__global__ void __launch_bounds__(threads)
    sgd_kernel(const SgdStep* parameters, const float* grad, float* buffer, float* w, std::int64_t count) {
  const SgdStep step = *parameters;
  grid_for(count, [&](std::int64_t i) {
    const Vec<Width> g = load<Width>(grad + i * Width);
    Vec<Width> velocity = load<Width>(buffer + i * Width);
    Vec<Width> weight = load<Width>(w + i * Width);
    for (int j = 0; j < Width; ++j) {
      const float decayed = fmaf(step.weight_decay, weight.lane[j], step.scale * g.lane[j]);
      velocity.lane[j] = fmaf(step.momentum, velocity.lane[j], decayed);
      weight.lane[j] = fmaf(-step.learning_rate, velocity.lane[j], weight.lane[j]);
    }
    store(buffer + i * Width, velocity);
    store(w + i * Width, weight);
  });
}

template <int Width>
__global__ void __launch_bounds__(threads)
    adam_kernel(const AdamStep* parameters, const float* grad, float* m, float* v, float* w, std::int64_t count) {
  __shared__ AdamFactors factors;
  const AdamStep step = *parameters;
  if (threadIdx.x == 0) factors = adam_factors(step);
  __syncthreads();
  grid_for(count, [&](std::int64_t i) {
    const Vec<Width> g = load<Width>(grad + i * Width);
    Vec<Width> first = load<Width>(m + i * Width);
    Vec<Width> second = load<Width>(v + i * Width);
    Vec<Width> weight = load<Width>(w + i * Width);
    for (int j = 0; j < Width; ++j) {
      const float decayed = fmaf(step.weight_decay, weight.lane[j], g.lane[j]);
      first.lane[j] = fmaf(step.beta1, first.lane[j], (1.0F - step.beta1) * decayed);
      second.lane[j] = fmaf(step.beta2, second.lane[j], (1.0F - step.beta2) * decayed * decayed);
      const float scale = fmaf(sqrtf(second.lane[j]), factors.v_correction, step.epsilon);
      weight.lane[j] -= factors.step_size * first.lane[j] / scale;
    }
    store(m + i * Width, first);
    store(v + i * Width, second);
    store(w + i * Width, weight);
  });
}

// --- launchers ------------------------------------------------------------------------------------------------------

unsigned blocks_of(std::int64_t count) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((count + threads - 1) / threads, 1, max_blocks));
}

/// Runs the width 4 kernel on the vectors and the width 1 kernel on the up to three elements behind them, or on
/// everything if a pointer is not aligned. `arrays` are the operands, advanced together.
template <typename Kernel, typename Parameters, typename... Pointers>
void launch_elementwise(const char* operation, Kernel vector_kernel, Kernel scalar_kernel, void* stream,
                        const Parameters* parameters, std::size_t length, Pointers... arrays) {
  const auto count = static_cast<std::int64_t>(length);
  const std::int64_t vectors = (aligned16(arrays) && ...) ? count / 4 : 0;
  const std::int64_t rest = count - vectors * 4;
  if (vectors > 0) {
    launch(operation, vector_kernel, {blocks_of(vectors), threads}, stream, parameters, arrays..., vectors);
  }
  if (rest > 0) {
    launch(operation, scalar_kernel, {blocks_of(rest), threads}, stream, parameters, (arrays + vectors * 4)..., rest);
  }
}

}  // namespace

std::size_t squared_norm_workspace(std::size_t count) {
  // Without alignment every element is a step of its own, which takes at least as many blocks as vectors do.
  return counter_bytes(1) + blocks_of(static_cast<std::int64_t>(count)) * sizeof(double);
}

void squared_norm(std::span<const float> x, std::span<std::byte> workspace, double* result, void* stream) {
  clip_gradient(x, 0.0, workspace, result, nullptr, stream);
}

void clip_gradient(std::span<const float> gradient, double max_norm, std::span<std::byte> workspace, double* result,
                   float* scale, void* stream) {
  auto* const partial = reinterpret_cast<double*>(workspace.data() + counter_bytes(1));
  const auto count = static_cast<std::int64_t>(gradient.size());
  const bool vectorised = aligned16(gradient.data());
  const std::int64_t steps = vectorised ? count / 4 : count;
  const int tail = vectorised ? static_cast<int>(count % 4) : 0;
  launch(scale != nullptr ? "clip_gradient" : "squared_norm",
         vectorised ? sum_squares_kernel<4> : sum_squares_kernel<1>, {blocks_of(steps), threads}, stream,
         gradient.data(), steps, tail, partial, reinterpret_cast<unsigned*>(workspace.data()), result, max_norm, scale);
}

void axpy(const float* a, std::span<const float> x, std::span<float> y, void* stream) {
  launch_elementwise("axpy", axpy_kernel<4>, axpy_kernel<1>, stream, a, y.size(), x.data(), y.data());
}

void sgd_step(const SgdStep* step, std::span<const float> grad, std::span<float> momentum_buffer, std::span<float> w,
              void* stream) {
  launch_elementwise("sgd_step", sgd_kernel<4>, sgd_kernel<1>, stream, step, w.size(), grad.data(),
                     momentum_buffer.data(), w.data());
}

void adam_step(const AdamStep* step, std::span<const float> grad, std::span<float> m, std::span<float> v,
               std::span<float> w, void* stream) {
  launch_elementwise("adam_step", adam_kernel<4>, adam_kernel<1>, stream, step, w.size(), grad.data(), m.data(),
                     v.data(), w.data());
}

}  // namespace dnas::kernels::cuda
