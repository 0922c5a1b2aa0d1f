#include "dnas/kernels/batch_norm.hpp"

#include "dnas/kernels/elementwise.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <span>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, channels of the tensor that x is a slice of (C: dense), threads.
struct Layer {
  explicit Layer(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(4)))),
        shape{state.range(0), state.range(1), state.range(1), state.range(2)},
        gap{0, state.range(3) - state.range(2)} {
    forward();
  }

  void forward() {
    batch_norm_forward(ctx, {}, x.view(), gamma.view(), beta.view(), running_mean.view(), running_var.view(), y.view(),
                       mean.view(), rstd.view(), {workspace.data(), workspace.bytes()});
  }

  /// `passes`: how often the kernel reads or writes a whole tensor.
  void report(benchmark::State& state, double passes) const {
    const double bytes = passes * sizeof(float) * static_cast<double>(x.size());
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  Shape shape;
  test::Gap gap;
  Shape channels{shape[-1]};
  Tensor x = Tensor::random(shape, 1, gap);
  Tensor dy = Tensor::random(shape, 2, gap);
  Tensor y{shape, gap}, dx{shape, gap};
  Tensor gamma = Tensor::random(channels, 3), beta = Tensor::random(channels, 4);
  Tensor running_mean = Tensor::filled(channels, 0.0F), running_var = Tensor::filled(channels, 1.0F);
  Tensor mean{channels}, rstd{channels}, dgamma{channels}, dbeta{channels};
  Buffer workspace{batch_norm_workspace(shape)};
};

void norm_forward(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state)
    layer.forward();
  layer.report(state, 3.0);  // x twice, y
}

void norm_backward(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state) {
    batch_norm_backward(layer.ctx, layer.x.view(), layer.gamma.view(), layer.mean.view(), layer.rstd.view(),
                        layer.dy.view(), layer.dx.view(), Write::overwrite, layer.dgamma.view(), layer.dbeta.view(),
                        {layer.workspace.data(), layer.workspace.bytes()});
  }
  layer.report(state, 5.0);  // x and dy twice, dx
}

void norm_inference(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state) {
    batch_norm_inference(layer.ctx, {}, layer.x.view(), layer.gamma.view(), layer.beta.view(),
                         layer.running_mean.view(), layer.running_var.view(), layer.y.view());
  }
  layer.report(state, 2.0);  // x, y
}

/// What memory gives: the yardstick for the others.
void plain_copy(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state)
    copy(layer.ctx, layer.x.view(), layer.y.view(), Write::overwrite);
  layer.report(state, 2.0);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "of", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({64, 32, 16, 16, 1})->Args({64, 32, 16, 16, 2});  // the widest map of a DARTS search on CIFAR-10
  b->Args({64, 32, 16, 64, 1});                             // its share of a concatenated cell output
  b->Args({96, 32, 36, 36, 1});                             // the network of the evaluation
  b->Args({64, 8, 64, 64, 1})->Args({64, 4, 64, 64, 1})->Args({64, 2, 256, 256, 1});
}

BENCHMARK(norm_forward)->Apply(sizes);
BENCHMARK(norm_backward)->Apply(sizes);
BENCHMARK(norm_inference)->Apply(sizes);
BENCHMARK(plain_copy)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
