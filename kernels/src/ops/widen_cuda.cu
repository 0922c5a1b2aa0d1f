#include "ops/widen_cuda.hpp"

#include "core/launch.cuh"
#include "core/vec.cuh"

#include <algorithm>

namespace dnas::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr std::int64_t max_blocks = 1024;  // larger tensors are walked with a stride

template <int Width>
__global__ void __launch_bounds__(threads)
    widen_kernel(const Bf16* x, float* y, std::int64_t vectors, bool accumulate) {
  for (std::int64_t v = std::int64_t{blockIdx.x} * threads + static_cast<int>(threadIdx.x); v < vectors;
       v += std::int64_t{gridDim.x} * threads) {
    Vec<Width> value = load<Width>(x + v * Width);
    if (accumulate) {
      const Vec<Width> before = load<Width>(y + v * Width);
      for (int i = 0; i < Width; ++i)
        value.lane[i] += before.lane[i];
    }
    store(y + v * Width, value);
  }
}

template <int Width>
void launch_widen(const Bf16* x, float* y, std::int64_t vectors, bool accumulate, void* stream) {
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((vectors + threads - 1) / threads, max_blocks));
  launch("widen", widen_kernel<Width>, {blocks, threads}, stream, x, y, vectors, accumulate);
}

}  // namespace

void widen(const void* x, float* y, std::int64_t count, Write write, void* stream) {
  if (count == 0) return;
  const auto* const from = static_cast<const Bf16*>(x);
  const bool accumulate = write == Write::accumulate;
  if (count % 4 == 0 && aligned16(x) && aligned16(y)) {
    launch_widen<4>(from, y, count / 4, accumulate, stream);
  } else {
    launch_widen<1>(from, y, count, accumulate, stream);
  }
}

}  // namespace dnas::kernels::cuda
