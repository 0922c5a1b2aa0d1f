#include "dnas/kernels/conv.hpp"

#include "dnas/kernels/buffer.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, Cin, Cout, stride, threads; 3x3 kernel, padding 1, as in the stems.
struct Setup {
  explicit Setup(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(5)))),
        conv{.stride_h = static_cast<int>(state.range(4)), .stride_w = static_cast<int>(state.range(4))},
        x(Tensor::random({state.range(0), state.range(1), state.range(1), state.range(2)}, 1)),
        w(Tensor::random({state.range(3), conv.kernel_h, conv.kernel_w, state.range(2)}, 2)),
        dy(Tensor::random(conv.output_shape(x.shape(), state.range(3)), 3)),
        memory(conv_workspace(ctx, conv, x.shape(), state.range(3))),
        workspace(memory.data(), memory.bytes()) {}

  /// Multiplications with padding are counted, as is usual.
  void report(benchmark::State& state) const {
    const double taps = static_cast<double>(w.size() / w.shape()[0]);
    const double flop = 2.0 * static_cast<double>(dy.size()) * taps;
    state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
    const double bytes = sizeof(float) * static_cast<double>(x.size() + dy.size());
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  Conv conv;
  Tensor x;
  Tensor w;
  Tensor dy;
  Buffer memory;
  std::span<std::byte> workspace;
};

void stem_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    conv_forward(s.ctx, s.conv, s.x.view(), s.w.view(), s.dy.view(), s.workspace);
  s.report(state);
}

void stem_backward_data(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    conv_backward_data(s.ctx, s.conv, s.dy.view(), s.w.view(), s.x.view(), Write::overwrite, s.workspace);
  s.report(state);
}

void stem_backward_weight(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    conv_backward_weight(s.ctx, s.conv, s.x.view(), s.dy.view(), s.w.view(), Write::overwrite, s.workspace);
  s.report(state);
}

// CIFAR stem, its version for 8x8 digits, an ImageNet stem's second layer, a NAS-Bench-201 convolution.
void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "Cin", "Cout", "s", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    b->Args({64, 32, 3, 48, 1, threads});
    b->Args({64, 8, 1, 12, 1, threads});
    b->Args({16, 56, 24, 48, 2, threads});
    b->Args({64, 16, 32, 32, 1, threads});
  }
}

BENCHMARK(stem_forward)->Apply(sizes);
BENCHMARK(stem_backward_data)->Apply(sizes);
BENCHMARK(stem_backward_weight)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
