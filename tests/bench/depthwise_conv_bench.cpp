#include "dnas/kernels/depthwise_conv.hpp"

#include "dnas/kernels/buffer.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, kernel, stride, dilation, threads. "same" padding, as in the DARTS candidates.
struct Setup {
  explicit Setup(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(6)))),
        conv{static_cast<int>(state.range(3)), static_cast<int>(state.range(4)), static_cast<int>(state.range(5)),
             static_cast<int>(state.range(5) * (state.range(3) - 1) / 2)},
        x(Tensor::random({state.range(0), state.range(1), state.range(1), state.range(2)}, 1)),
        w(Tensor::random({conv.kernel, conv.kernel, state.range(2)}, 2)),
        dy(Tensor::random(conv.output_shape(x.shape()), 3)),
        workspace(depthwise_conv_backward_weight_workspace(conv, x.shape())) {}

  /// Multiplications with padding are counted, as is usual.
  void report(benchmark::State& state) const {
    const double flop = 2.0 * conv.kernel * conv.kernel * static_cast<double>(dy.size());
    state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
    const double bytes = sizeof(float) * static_cast<double>(x.size() + dy.size());
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  DepthwiseConv conv;
  Tensor x;
  Tensor w;
  Tensor dy;
  Buffer workspace;
};

void depthwise_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    depthwise_conv_forward(s.ctx, s.conv, s.x.view(), s.w.view(), s.dy.view());
  s.report(state);
}

void depthwise_backward_data(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state) {
    depthwise_conv_backward_data(s.ctx, s.conv, s.dy.view(), s.w.view(), s.x.view(), Write::overwrite);
  }
  s.report(state);
}

void depthwise_backward_weight(benchmark::State& state) {
  Setup s(state);
  const std::span<std::byte> workspace(s.workspace.data(), s.workspace.bytes());
  for (auto _ : state) {
    depthwise_conv_backward_weight(s.ctx, s.conv, s.x.view(), s.dy.view(), s.w.view(), Write::overwrite, workspace);
  }
  s.report(state);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "k", "s", "d", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    b->Args({64, 32, 16, 3, 1, 1, threads});
    b->Args({64, 32, 16, 5, 1, 1, threads});
    b->Args({64, 32, 16, 3, 1, 2, threads});
    b->Args({64, 32, 16, 5, 1, 2, threads});
    b->Args({64, 32, 16, 5, 2, 1, threads});
    b->Args({64, 16, 32, 5, 1, 1, threads});
    b->Args({64, 8, 64, 5, 1, 1, threads});
    b->Args({64, 28, 36, 5, 1, 1, threads});
    b->Args({64, 8, 4, 5, 1, 1, threads});
    b->Args({64, 4, 8, 5, 1, 1, threads});
    b->Args({64, 2, 16, 5, 1, 1, threads});
  }
}

BENCHMARK(depthwise_forward)->Apply(sizes);
BENCHMARK(depthwise_backward_data)->Apply(sizes);
BENCHMARK(depthwise_backward_weight)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
