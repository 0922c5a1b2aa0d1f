#include "dnas/kernels/pool.hpp"

#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, stride, threads. 3x3 windows, as in the DARTS candidates.
struct Setup {
  explicit Setup(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(4)))),
        pool{3, static_cast<int>(state.range(3)), 1},
        x(Tensor::random({state.range(0), state.range(1), state.range(1), state.range(2)}, 1)),
        y(Tensor::random(pool.output_shape(x.shape()), 2)),
        positions(static_cast<std::size_t>(y.size())) {}

  [[nodiscard]] TensorView argmax() { return {positions.data(), y.shape(), DType::u8}; }

  /// One operation (comparison or addition) per position of a window; padding counts.
  void report(benchmark::State& state, double bytes_per_window) const {
    const auto windows = static_cast<double>(y.size());
    state.counters["FLOP/s"] = benchmark::Counter(9.0 * windows, benchmark::Counter::kIsIterationInvariantRate);
    const double bytes = sizeof(float) * static_cast<double>(x.size()) + bytes_per_window * windows;
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  Pool pool;
  Tensor x;
  Tensor y;
  std::vector<std::uint8_t> positions;
};

void max_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    max_pool_forward(s.ctx, s.pool, s.x.view(), s.y.view(), s.argmax());
  s.report(state, 5.0);
}

void max_backward(benchmark::State& state) {
  Setup s(state);
  max_pool_forward(s.ctx, s.pool, s.x.view(), s.y.view(), s.argmax());
  for (auto _ : state)
    max_pool_backward(s.ctx, s.pool, s.y.view(), s.argmax(), s.x.view(), Write::overwrite);
  s.report(state, 5.0);
}

void avg_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    avg_pool_forward(s.ctx, s.pool, s.x.view(), s.y.view());
  s.report(state, 4.0);
}

void avg_backward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    avg_pool_backward(s.ctx, s.pool, s.y.view(), s.x.view(), Write::overwrite);
  s.report(state, 4.0);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "s", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    b->Args({64, 32, 16, 1, threads});
    b->Args({64, 32, 16, 2, threads});
    b->Args({64, 16, 32, 1, threads});
    b->Args({64, 8, 64, 1, threads});
    b->Args({64, 8, 4, 1, threads});
  }
}

BENCHMARK(max_forward)->Apply(sizes);
BENCHMARK(max_backward)->Apply(sizes);
BENCHMARK(avg_forward)->Apply(sizes);
BENCHMARK(avg_backward)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
