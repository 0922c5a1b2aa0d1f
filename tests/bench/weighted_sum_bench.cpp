#include "dnas/kernels/weighted_sum.hpp"

#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, terms, threads.
struct Node {
  explicit Node(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(4)))),
        shape{state.range(0), state.range(1), state.range(1), state.range(2)},
        terms(static_cast<std::size_t>(state.range(3))),
        write(terms, Write::overwrite) {
    for (std::size_t k = 0; k < terms; ++k) {
      x.push_back(Tensor::random(shape, 10 + k));
      views.push_back(x.back().view());
      index.push_back(static_cast<std::int32_t>(k));
    }
  }

  /// Every term and y or dy once.
  void report(benchmark::State& state) const {
    const double bytes = sizeof(float) * static_cast<double>(terms + 1) * static_cast<double>(y.size());
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  Shape shape;
  std::size_t terms;
  std::vector<Write> write;
  std::vector<Tensor> x;
  std::vector<TensorView> views;
  std::vector<std::int32_t> index;
  Tensor w = Tensor::random(Shape{static_cast<std::int64_t>(terms)}, 1);
  Tensor dw = Tensor::filled(w.shape(), 0.0F);
  Tensor y = Tensor::random(shape, 2);
  Buffer workspace{weighted_sum_workspace(shape, terms)};
};

void node_forward(benchmark::State& state) {
  Node node(state);
  for (auto _ : state)
    weighted_sum_forward(node.ctx, node.views, node.index, node.w.view(), node.y.view());
  node.report(state);
}

void node_backward_data(benchmark::State& state) {
  Node node(state);
  for (auto _ : state) {
    weighted_sum_backward_data(node.ctx, node.index, node.w.view(), node.y.view(), node.views, node.write);
  }
  node.report(state);
}

void node_backward_weights(benchmark::State& state) {
  Node node(state);
  for (auto _ : state) {
    weighted_sum_backward_weights(node.ctx, node.views, node.index, node.y.view(), node.dw.view(),
                                  {node.workspace.data(), node.workspace.bytes()});
  }
  node.report(state);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "K", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  // A node of the first cells of a DARTS search: 7 candidates on each of 2 and of 5 incoming edges.
  b->Args({64, 32, 16, 14, 1})->Args({64, 32, 16, 14, 2})->Args({64, 32, 16, 35, 1});
  b->Args({64, 8, 64, 14, 1})->Args({64, 2, 64, 14, 1});
}

BENCHMARK(node_forward)->Apply(sizes);
BENCHMARK(node_backward_data)->Apply(sizes);
BENCHMARK(node_backward_weights)->Apply(sizes);

}  // namespace
}  // namespace dnas::kernels
