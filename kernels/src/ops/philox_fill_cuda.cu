#include "ops/philox_fill_cuda.hpp"

#include "core/launch.cuh"
#include "core/philox.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr std::int64_t max_blocks = 1024;  // longer arrays are walked with a stride

// --- kernels --------------------------------------------------------------------------------------------------------

template <bool Normal>
__global__ void __launch_bounds__(threads)
    fill_kernel(float* out, std::int64_t count, const PhiloxStream draws, std::uint64_t first, float scale) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * threads) {
    const std::uint64_t element = first + static_cast<std::uint64_t>(i);
    float value = 0.0F;
    if constexpr (Normal) {
      value = draws.normal(element);
    } else {
      value = 2.0F * draws.uniform(element) - 1.0F;  // exact
    }
    out[i] = scale * value;
  }
}

// --- launchers ------------------------------------------------------------------------------------------------------

template <bool Normal>
void fill(const char* operation, std::span<float> out, const PhiloxDraws& draws, float scale, void* stream) {
  if (out.empty()) return;
  const auto count = static_cast<std::int64_t>(out.size());
  launch(operation, fill_kernel<Normal>,
         {static_cast<unsigned>(std::min((count + threads - 1) / threads, max_blocks)), threads}, stream, out.data(),
         count, PhiloxStream{draws.seed, static_cast<std::uint32_t>(draws.stream), draws.step}, draws.first, scale);
}

}  // namespace

void fill_uniform(std::span<float> out, const PhiloxDraws& draws, float bound, void* stream) {
  fill<false>("fill_uniform", out, draws, bound, stream);
}

void fill_normal(std::span<float> out, const PhiloxDraws& draws, float scale, void* stream) {
  fill<true>("fill_normal", out, draws, scale, stream);
}

}  // namespace dnas::kernels::cuda
