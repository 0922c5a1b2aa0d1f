#include "dnas/kernels/node_reduction.hpp"

#include "dnas/kernels/normalisation.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, channels of the tensor that y and g are slices of (C: dense), terms, threads. Every fourth
/// term is not normalised.
struct Node {
  explicit Node(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(5)))),
        shape{state.range(0), state.range(1), state.range(1), state.range(2)},
        gap{0, state.range(3) - state.range(2)},
        terms(static_cast<std::size_t>(state.range(4))) {
    for (std::size_t k = 0; k < terms; ++k) {
      const bool normalised = k % 4 != 3;
      x.push_back(Tensor::random(shape, 10 + k));
      statistics.push_back(Tensor::filled(Shape{normalisation_rows, shape[-1]}, 0.5F));
      gradients.push_back(Tensor(Shape{normalisation_gradient_rows, shape[-1]}));
      const TensorView none;
      term.push_back({x[k].view(), normalised ? statistics[k].view() : none, static_cast<std::int32_t>(k)});
      gradient_views.push_back(normalised ? gradients[k].view() : none);
    }
  }

  /// `passes`: how often the kernel reads or writes a whole tensor.
  void report(benchmark::State& state, double passes) const {
    const double bytes = passes * sizeof(float) * static_cast<double>(y.size());
    state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
  }

  Context ctx;
  Shape shape;
  test::Gap gap;
  std::size_t terms;
  std::vector<Tensor> x;
  std::vector<Tensor> statistics;
  std::vector<Tensor> gradients;
  std::vector<ReductionTerm> term;
  std::vector<TensorView> gradient_views;
  Tensor w = Tensor::random(Shape{static_cast<std::int64_t>(terms)}, 1);
  Tensor dw = Tensor::filled(w.shape(), 0.0F);
  Tensor y = Tensor::random(shape, 2, gap);
  Buffer workspace{node_reduction_backward_workspace(shape, terms)};
};

void reduction_forward(benchmark::State& state) {
  Node node(state);
  for (auto _ : state)
    node_reduction_forward(node.ctx, node.term, node.w.view(), node.y.view());
  node.report(state, static_cast<double>(node.terms) + 1.0);
}

void reduction_backward(benchmark::State& state) {
  Node node(state);
  for (auto _ : state) {
    node_reduction_backward(node.ctx, node.term, node.w.view(), node.y.view(), {node.dw.view(), node.gradient_views},
                            {node.workspace.data(), node.workspace.bytes()});
  }
  node.report(state, static_cast<double>(node.terms) + 1.0);
}

void nodes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "of", "K", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  // A node of a DARTS search: 4 candidates or more on each of 2 to 5 incoming edges; the node is a slice of its cell.
  b->Args({64, 32, 16, 16, 8, 1})->Args({64, 32, 16, 16, 20, 1})->Args({64, 32, 16, 16, 20, 2});
  b->Args({64, 32, 16, 64, 20, 1})->Args({64, 16, 32, 32, 20, 1})->Args({64, 8, 64, 64, 20, 1});
  b->Args({96, 32, 36, 36, 8, 1})
      ->Args({64, 32, 4, 4, 20, 1})
      ->Args({64, 32, 4, 16, 20, 1})
      ->Args({1, 1, 256, 256, 20, 1});
}

/// Arguments: N, H = W, C, terms, threads.
struct Gradients {
  explicit Gradients(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(4)))),
        shape{state.range(0), state.range(1), state.range(1), state.range(2)},
        gradient(Tensor::random(Shape{normalisation_gradient_rows, shape[-1]}, 3)),
        views(static_cast<std::size_t>(state.range(3)), gradient.view()) {
    for (std::size_t e = 0; e < views.size(); ++e) {
      g.push_back(Tensor::random(shape, 10 + e));
      g_views.push_back(g[e].view());
    }
  }

  Context ctx;
  Shape shape;
  Tensor gradient;
  std::vector<TensorView> views;
  std::vector<Tensor> g;
  std::vector<TensorView> g_views;
  Tensor x = Tensor::random(shape, 1);
  Tensor dx{shape};
};

void gradients_backward(benchmark::State& state) {
  Gradients s(state);
  for (auto _ : state)
    normalisation_backward(s.ctx, s.x.view(), s.g_views, s.views, s.dx.view(), Write::overwrite);
  const double bytes = static_cast<double>(s.g.size() + 2) * sizeof(float) * static_cast<double>(s.x.size());
  state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

void statistics(benchmark::State& state) {
  Gradients s(state);
  Buffer workspace(batch_statistics_workspace(s.shape));
  const Tensor normalisation(Shape{normalisation_rows, s.shape[-1]});
  for (auto _ : state) {
    batch_statistics(s.ctx, {}, s.x.view(), {}, normalisation.view(), {workspace.data(), workspace.bytes()});
  }
  const double bytes = sizeof(float) * static_cast<double>(s.x.size());
  state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

void maps(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "E", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({64, 32, 16, 1, 1})->Args({64, 32, 16, 4, 1})->Args({64, 32, 16, 4, 2})->Args({64, 32, 16, 12, 1});
  b->Args({64, 8, 64, 4, 1})->Args({96, 32, 36, 4, 1});
}

BENCHMARK(reduction_forward)->Apply(nodes);
BENCHMARK(reduction_backward)->Apply(nodes);
BENCHMARK(gradients_backward)->Apply(maps);
BENCHMARK(statistics)->Apply(maps);

}  // namespace
}  // namespace dnas::kernels
