#include "ops/elementwise_cuda.hpp"

#include "core/launch.cuh"
#include "ops/channel_walk.cuh"

namespace dnas::kernels::cuda {
namespace {

// --- what is done to a vector of elements ---------------------------------------------------------------------------

/// Zero for negative values; NaN stays.
struct Relu {
  __device__ __forceinline__ static float of(float x) { return x < 0.0F ? 0.0F : x; }
};
struct Copy {
  __device__ __forceinline__ static float of(float x) { return x; }
};

// --- kernels --------------------------------------------------------------------------------------------------------

/// y (+)= Function(x).
template <typename Function, bool Accumulate, typename From, typename To, int Width>
__global__ void __launch_bounds__(walk_threads, 4)
    map_kernel(const ChannelWalk walk, const Pixels<const From> x, const Pixels<To> y) {
  const WalkThread<Width> mine(walk);
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> value[n];
    mine.load_pixels(x, p, value);
#pragma unroll
    for (int i = 0; i < n; ++i) {
      To* const to = y.at(p + std::int64_t{i} * mine.rows, mine.channel);
      Vec<Width> before{};
      if constexpr (Accumulate) before = load<Width>(to);
#pragma unroll
      for (int j = 0; j < Width; ++j) {
        const float result = Function::of(value[i].lane[j]);
        value[i].lane[j] = Accumulate ? before.lane[j] + result : result;
      }
      store(to, value[i]);
    }
  });
}

/// dx (+)= dy where y > 0, else 0.
template <bool Accumulate, typename T, int Width>
__global__ void __launch_bounds__(walk_threads, 4) relu_backward_kernel(const ChannelWalk walk, const Pixels<const T> y,
                                                                        const Pixels<const T> dy, const Pixels<T> dx) {
  const WalkThread<Width> mine(walk);
  mine.for_pixels([&](std::int64_t p, auto count) {
    constexpr int n = decltype(count)::value;
    Vec<Width> out[n];
    Vec<Width> g[n];
    mine.load_pixels(y, p, out);
    mine.load_pixels(dy, p, g);
#pragma unroll
    for (int i = 0; i < n; ++i) {
      T* const to = dx.at(p + std::int64_t{i} * mine.rows, mine.channel);
      Vec<Width> before{};
      if constexpr (Accumulate) before = load<Width>(to);
#pragma unroll
      for (int j = 0; j < Width; ++j) {
        const float passed = out[i].lane[j] > 0.0F ? g[i].lane[j] : 0.0F;
        g[i].lane[j] = Accumulate ? before.lane[j] + passed : passed;
      }
      store(to, g[i]);
    }
  });
}

// --- launchers ------------------------------------------------------------------------------------------------------

template <typename Function, bool Accumulate>
void map(const char* operation, const TensorView& x, const TensorView& y, void* stream) {
  if (x.elements() == 0) return;
  with_storage(x.dtype, vectorisable({x, y}), [&]<typename From, int Width>() {
    const ChannelWalk walk(x.pixels(), x.channels(), Width);
    const auto submit = [&]<typename To>() {
      launch(operation, map_kernel<Function, Accumulate, From, To, Width>, {walk.grid(), walk_threads}, stream, walk,
             Pixels<const From>(x), Pixels<To>(y));
    };
    y.dtype == DType::bf16 ? submit.template operator()<Bf16>() : submit.template operator()<float>();
  });
}

template <bool Accumulate>
void pass_positive(const TensorView& y, const TensorView& dy, const TensorView& dx, void* stream) {
  if (y.elements() == 0) return;
  with_storage(y.dtype, vectorisable({y, dy, dx}), [&]<typename T, int Width>() {
    const ChannelWalk walk(y.pixels(), y.channels(), Width);
    launch("relu_backward", relu_backward_kernel<Accumulate, T, Width>, {walk.grid(), walk_threads}, stream, walk,
           Pixels<const T>(y), Pixels<const T>(dy), Pixels<T>(dx));
  });
}

}  // namespace

void relu_forward(const TensorView& x, const TensorView& y, void* stream) {
  map<Relu, false>("relu_forward", x, y, stream);
}

void relu_backward(const TensorView& y, const TensorView& dy, const TensorView& dx, Write write, void* stream) {
  write == Write::accumulate ? pass_positive<true>(y, dy, dx, stream) : pass_positive<false>(y, dy, dx, stream);
}

void copy(const TensorView& x, const TensorView& y, Write write, void* stream) {
  write == Write::accumulate ? map<Copy, true>("copy", x, y, stream) : map<Copy, false>("copy", x, y, stream);
}

}  // namespace dnas::kernels::cuda
