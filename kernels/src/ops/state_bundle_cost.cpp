#include "ops/state_bundle_cost.hpp"

#include <set>
#include <utility>

namespace dnas::kernels::cuda {
namespace {

double bytes_of(const TensorView& t) {
  return t ? static_cast<double>(t.elements()) * static_cast<double>(size_of(t.dtype)) : 0.0;
}

/// Counts a tensor's bytes the first time it is met.
class Traffic {
 public:
  void once(const TensorView& t) {
    if (t && seen_.emplace(t.data, t.channels()).second) bytes_ += bytes_of(t);
  }
  void always(double bytes) { bytes_ += bytes; }
  [[nodiscard]] double bytes() const { return bytes_; }

 private:
  std::set<std::pair<const void*, std::int64_t>> seen_;
  double bytes_ = 0.0;
};

double pixels_of(const Shape& x, int stride) {
  const std::int64_t rows = (x[1] + stride - 1) / stride;
  const std::int64_t columns = (x[2] + stride - 1) / stride;
  return static_cast<double>(x[0] * rows * columns);
}

struct Work {
  double window = 0.0;   // of sliding the window over all outputs once
  double product = 0.0;  // of the pointwise product once
};

Work work_of(const Candidate& c, const TensorView& x, int stride) {
  const double pixels = pixels_of(x.shape, stride);
  const auto channels = static_cast<double>(x.channels());
  const double taps = static_cast<double>(c.window.kernel) * c.window.kernel;
  switch (c.kind) {
    case CandidateKind::separable:
      return {2.0 * taps * channels * pixels, 2.0 * channels * static_cast<double>(c.pointwise.shape[0]) * pixels};
    case CandidateKind::max_pool:
    case CandidateKind::avg_pool:
      return {taps * channels * pixels, 0.0};
    case CandidateKind::factorised_reduce:
      return {0.0, 2.0 * channels * static_cast<double>(c.pointwise.shape[0]) * pixels};
    case CandidateKind::identity:
      return {};
  }
  return {};
}

/// What a node does to compute a term's output.
void add_term(const NodeTerm& term, Traffic& traffic, KernelCost& cost) {
  if (term.y) {
    traffic.once(term.y);
    return;
  }
  traffic.once(term.source.x);
  traffic.once(term.candidate.filter);
  traffic.once(term.candidate.pointwise);
  const Work work = work_of(term.candidate, term.source.x, term.stride);
  cost.vector_flops += work.window;
  cost.tensor_flops += work.product;
}

}  // namespace

KernelCost state_bundle_forward_cost(int stride, std::span<const StateBundle> states) {
  KernelCost cost{.launches = 1};
  Traffic traffic;
  for (const StateBundle& state : states) {
    traffic.once(state.source.x);
    for (std::size_t k = 0; k < state.candidates.size(); ++k) {
      const Candidate& candidate = state.candidates[k];
      traffic.once(candidate.filter);
      traffic.once(candidate.pointwise);
      traffic.always(bytes_of(state.outputs[k].y));
      const Work work = work_of(candidate, state.source.x, stride);
      const auto channels =
          static_cast<double>(candidate.pointwise ? candidate.pointwise.shape[0] : state.source.x.channels());
      cost.vector_flops += work.window + 5.0 * channels * pixels_of(state.source.x.shape, stride);  // statistics
      cost.tensor_flops += work.product;
    }
  }
  cost.bytes = traffic.bytes();
  return cost;
}

KernelCost node_forward_cost(std::span<const NodeTerm> terms, const TensorView& node) {
  KernelCost cost{.launches = 1};
  Traffic traffic;
  for (const NodeTerm& term : terms)
    add_term(term, traffic, cost);
  traffic.always(bytes_of(node));
  cost.vector_flops += 2.0 * static_cast<double>(terms.size()) * static_cast<double>(node.elements());
  cost.bytes = traffic.bytes();
  return cost;
}

KernelCost node_backward_cost(std::span<const NodeTerm> terms, const TensorView& g) {
  KernelCost cost{.launches = 1};
  Traffic traffic;
  for (const NodeTerm& term : terms)
    add_term(term, traffic, cost);
  traffic.once(g);
  cost.vector_flops += 3.0 * static_cast<double>(terms.size()) * static_cast<double>(g.elements());
  cost.bytes = traffic.bytes();
  return cost;
}

KernelCost state_bundle_backward_cost(int stride, std::span<const StateGradient> states) {
  KernelCost cost{.launches = 1};
  Traffic traffic;
  for (const StateGradient& state : states) {
    traffic.once(state.source.x);
    traffic.always(bytes_of(state.dx) * (state.write == Write::accumulate ? 2.0 : 1.0));
    for (const CandidateGradient& c : state.candidates) {
      traffic.once(c.candidate.filter);
      traffic.once(c.candidate.pointwise);
      traffic.once(c.g);
      traffic.once(c.y);
      const Work work = work_of(c.candidate, state.source.x, stride);
      const bool pool = c.candidate.kind == CandidateKind::max_pool || c.candidate.kind == CandidateKind::avg_pool;
      cost.vector_flops += work.window * (pool ? 2.0 : 1.0) + 4.0 * static_cast<double>(c.g.elements());
      cost.tensor_flops += work.product;
      if (c.dfilter) cost.vector_flops += work.window;
      if (c.dpointwise) {
        cost.vector_flops += work.window;  // the depthwise output once more
        cost.tensor_flops += work.product;
      }
      traffic.always(bytes_of(c.dfilter) + bytes_of(c.dpointwise));
    }
  }
  cost.bytes = traffic.bytes();
  return cost;
}

}  // namespace dnas::kernels::cuda
