#include "dnas/kernels/separable_bundle.hpp"

#include "dnas/kernels/buffer.hpp"
#include "support/tensors.hpp"

#include <benchmark/benchmark.h>

#include <vector>

namespace dnas::kernels {
namespace {

using test::Tensor;

/// Arguments: N, H = W, C, kernel, stride, dilation, threads. Kernel 0: the four windows of the DARTS candidates.
/// A dilation of 0: a second stage, whose source is normalised as it is read.
struct Setup {
  explicit Setup(const benchmark::State& state)
      : ctx(Context::cpu(static_cast<int>(state.range(6)))),
        windows(windows_of(static_cast<int>(state.range(3)), static_cast<int>(state.range(5)))),
        bundle{static_cast<int>(state.range(4)), windows},
        x(Tensor::random({state.range(0), state.range(1), state.range(1), state.range(2)}, 1)),
        dx(x.shape()),
        normalisation(Tensor::random({normalisation_rows, state.range(2)}, 2)),
        gradient(Tensor::random({normalisation_gradient_rows, state.range(2)}, 3)),
        normalised(state.range(5) == 0),
        channels(windows.size(), state.range(2)) {
    const std::int64_t c = state.range(2);
    for (std::size_t k = 0; k < windows.size(); ++k) {
      const int kernel = windows[k].kernel;
      const Shape y = bundle.output_shape(x.shape(), k, c);
      tensors.push_back({Tensor::random({kernel, kernel, c}, 4), Tensor::random({c, c}, 5), Tensor(y),
                         Tensor::random(y, 6), Tensor({normalisation_rows, c}), Tensor({kernel, kernel, c}),
                         Tensor({c, c})});
    }
    for (const Term& t : tensors) {
      forward.push_back({t.filter.view(), t.pointwise.view(), t.y.view(), t.normalisation.view(), {}});
      backward.push_back({t.filter.view(), t.pointwise.view(), t.y.view(), t.g.view(), gradient.view(),
                          t.dfilter.view(), t.dpointwise.view()});
    }
    source = {x.view(), normalised ? normalisation.view() : TensorView{}};
    workspace = Buffer(std::max(separable_bundle_forward_workspace(ctx, bundle, x.shape(), channels),
                                separable_bundle_backward_workspace(ctx, bundle, x.shape(), channels)));
  }

  static std::vector<SeparableWindow> windows_of(int kernel, int dilation) {
    if (kernel == 0) return {{3, 1, 1}, {5, 1, 2}, {3, 2, 2}, {5, 2, 4}};
    dilation = std::max(dilation, 1);
    return {{kernel, dilation, dilation * (kernel - 1) / 2}};
  }

  [[nodiscard]] std::span<std::byte> scratch() { return {workspace.data(), workspace.bytes()}; }

  /// One pass does `depthwise` depthwise and `pointwise` pointwise products; multiplications with padding are counted.
  void report(benchmark::State& state, double depthwise, double pointwise) const {
    double flop = 0.0;
    for (std::size_t k = 0; k < windows.size(); ++k) {
      const double taps = windows[k].kernel * windows[k].kernel;
      flop += 2.0 * static_cast<double>(tensors[k].y.size()) *
              (depthwise * taps + pointwise * static_cast<double>(x.shape()[3]));
    }
    state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsIterationInvariantRate);
  }

  struct Term {
    Tensor filter, pointwise, y, g, normalisation, dfilter, dpointwise;
  };
  Context ctx;
  std::vector<SeparableWindow> windows;
  SeparableBundle bundle;
  Tensor x;
  Tensor dx;
  Tensor normalisation;
  Tensor gradient;
  bool normalised;
  std::vector<std::int64_t> channels;
  std::vector<Term> tensors;
  std::vector<BundleTerm> forward;
  std::vector<BundleTermGradient> backward;
  BundleSource source;
  Buffer workspace;
};

void bundle_forward(benchmark::State& state) {
  Setup s(state);
  for (auto _ : state)
    separable_bundle_forward(s.ctx, s.bundle, {}, s.source, s.forward, s.scratch());
  s.report(state, 1.0, 1.0);
}

/// Depthwise: recomputed, gradient of the filter, gradient of the data; pointwise: gradient of the weights and data.
void bundle_backward(benchmark::State& state) {
  Setup s(state);
  separable_bundle_forward(s.ctx, s.bundle, {}, s.source, s.forward, s.scratch());
  for (auto _ : state)
    separable_bundle_backward(s.ctx, s.bundle, s.source, s.backward, {s.dx.view(), Write::overwrite, {}}, s.scratch());
  s.report(state, 3.0, 2.0);
}

/// As the architecture step needs it: no gradient of a weight.
void bundle_backward_data(benchmark::State& state) {
  Setup s(state);
  separable_bundle_forward(s.ctx, s.bundle, {}, s.source, s.forward, s.scratch());
  std::vector<BundleTermGradient> terms = s.backward;
  for (BundleTermGradient& t : terms)
    t.dfilter = t.dpointwise = {};
  for (auto _ : state)
    separable_bundle_backward(s.ctx, s.bundle, s.source, terms, {s.dx.view(), Write::overwrite, {}}, s.scratch());
  s.report(state, 1.0, 1.0);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "HW", "C", "k", "s", "d", "threads"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (const int threads : {1, 2}) {
    b->Args({64, 32, 16, 0, 1, 1, threads});
    b->Args({64, 16, 32, 0, 1, 1, threads});
    b->Args({64, 8, 64, 0, 1, 1, threads});
    b->Args({64, 32, 16, 0, 2, 1, threads});
    b->Args({64, 8, 8, 0, 1, 1, threads});
    b->Args({64, 4, 16, 0, 1, 1, threads});
    b->Args({64, 2, 32, 0, 1, 1, threads});
    b->Args({16, 32, 8, 0, 1, 1, threads});
    b->Args({64, 32, 16, 3, 1, 1, threads});
    b->Args({64, 32, 16, 5, 1, 1, threads});
    b->Args({64, 32, 16, 3, 1, 2, threads});
    b->Args({64, 32, 16, 5, 1, 2, threads});
    b->Args({64, 32, 16, 3, 1, 0, threads});
    b->Args({64, 32, 16, 5, 1, 0, threads});
  }
}

BENCHMARK(bundle_forward)->Apply(shapes);
BENCHMARK(bundle_backward)->Apply(shapes);
BENCHMARK(bundle_backward_data)->Apply(shapes);

}  // namespace
}  // namespace dnas::kernels
