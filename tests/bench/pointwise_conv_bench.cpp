#include "dnas/kernels/pointwise_conv.hpp"

#include "dnas/kernels/buffer.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

namespace dnas::kernels {
namespace {

using test::Gap;
using test::Tensor;

/// Arguments: N, H = W, Cin, Cout, stride, channels of the tensor that x is a slice of, threads.
struct Setup {
  explicit Setup(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(6)))),
        conv{.stride = static_cast<int>(state.range(4)), .offset = 0},
        x(Tensor::random({state.range(0), state.range(1), state.range(1), state.range(2)}, 1,
                         Gap{0, state.range(5) - state.range(2)})),
        w(Tensor::random({state.range(3), state.range(2)}, 2)),
        dy(Tensor::random(conv.output_shape(x.shape(), state.range(3)), 3)),
        workspace(pointwise_conv_backward_weight_workspace(conv, x.shape(), state.range(3))) {}

  void report(benchmark::State& state) const {
    const double flop = 2.0 * static_cast<double>(dy.size() * x.shape()[3]);
    state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
    const double read = static_cast<double>(dy.view().pixels() * x.shape()[3]);
    const double bytes = sizeof(float) * (read + static_cast<double>(dy.size()));
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  PointwiseConv conv;
  Tensor x;
  Tensor w;
  Tensor dy;
  Buffer workspace;
};

void pointwise_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    pointwise_conv_forward(s.ctx, s.conv, s.x.view(), s.w.view(), s.dy.view());
  s.report(state);
}

void pointwise_backward_data(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    pointwise_conv_backward_data(s.ctx, s.conv, s.dy.view(), s.w.view(), s.x.view(), Write::overwrite);
  s.report(state);
}

void pointwise_backward_weight(benchmark::State& state) {
  Setup s(state);
  const std::span<std::byte> workspace(s.workspace.data(), s.workspace.bytes());
  for (auto _ : state) {
    pointwise_conv_backward_weight(s.ctx, s.conv, s.x.view(), s.dy.view(), s.w.view(), Write::overwrite, workspace);
  }
  s.report(state);
}

// DARTS with 16 (36) initial channels: candidates, preprocessing, factorised reduce; then tiny search problems.
void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "Cin", "Cout", "s", "of", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    b->Args({64, 32, 16, 16, 1, 16, threads});
    b->Args({64, 32, 16, 16, 1, 64, threads});
    b->Args({64, 32, 64, 16, 1, 64, threads});
    b->Args({64, 16, 32, 32, 1, 32, threads});
    b->Args({64, 16, 128, 32, 1, 128, threads});
    b->Args({64, 8, 64, 64, 1, 64, threads});
    b->Args({64, 8, 256, 64, 1, 256, threads});
    b->Args({64, 32, 36, 36, 1, 36, threads});
    b->Args({64, 32, 64, 16, 2, 64, threads});
    b->Args({64, 16, 128, 32, 2, 128, threads});
    b->Args({64, 8, 8, 8, 1, 8, threads});
    b->Args({64, 8, 4, 4, 1, 4, threads});
    b->Args({64, 4, 16, 16, 1, 16, threads});
    b->Args({64, 2, 16, 16, 1, 16, threads});
  }
}

BENCHMARK(pointwise_forward)->Apply(sizes);
BENCHMARK(pointwise_backward_data)->Apply(sizes);
BENCHMARK(pointwise_backward_weight)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
