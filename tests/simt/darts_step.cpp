#include "simt/darts_step.hpp"

#include "ops/state_bundle_cost.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace dnas::simt {
namespace {

using namespace kernels;        // NOLINT(google-build-using-namespace)
using namespace kernels::cuda;  // NOLINT(google-build-using-namespace)

constexpr int nodes = 4;
constexpr SeparableWindow window_3{3, 1, 1};
constexpr SeparableWindow window_5{5, 1, 2};
constexpr SeparableWindow dilated_3{3, 2, 2};
constexpr SeparableWindow dilated_5{5, 2, 4};
constexpr SeparableWindow pool_3{3, 1, 1};

class Step {
 public:
  explicit Step(const DartsStepOptions& options) : o_(options), next_(options.base) {}

  std::vector<StepLaunch> build();
  StepMemory memory() {
    memory_.bytes = next_ - o_.base;
    return std::move(memory_);
  }

 private:
  /// A candidate with everything that either pass needs of it.
  struct Op {
    Candidate candidate;
    TensorView y;
    TensorView normalisation;
    TensorView gradient;  // [4, C]
    int stride = 1;
    bool recompute = false;
    std::int32_t weight = 0;
  };
  /// The operations that lead from a state to a node.
  struct Edge {
    int state, node;
    std::vector<Op> first;       // read the state
    std::vector<Op> second;      // read an output of `first`
    std::vector<TensorView> dz;  // gradients of the sources of `second`
  };
  struct State {
    BundleSource source;
    TensorView dx;
    Write write = Write::overwrite;
    TensorView gradient;  // of the source's normalisation
    int stride = 1;
    TensorView pooled[2];  // normalisations of its two pools, which serve all edges
  };
  /// What a cell leaves for its readers.
  struct Output {
    TensorView x;
    TensorView dx;
    bool written = false;  // dx has a first contribution
  };

  void* take(std::size_t bytes) {
    void* const address = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr)
    next_ += (bytes + 255) / 256 * 256;
    return address;
  }
  std::span<std::byte> workspace(std::size_t bytes) {
    memory_.workspaces.emplace_back(static_cast<std::byte*>(take(bytes)), bytes);
    return memory_.workspaces.back();
  }
  TensorView tensor(const Shape& shape, DType dtype) {
    memory_.tensors.emplace_back(take(static_cast<std::size_t>(shape.elements()) * size_of(dtype)), shape, dtype);
    return memory_.tensors.back();
  }
  TensorView activation(std::int64_t side, std::int64_t channels) {
    return tensor({o_.batch, side, side, channels}, o_.dtype);
  }
  TensorView f32(const Shape& shape) { return tensor(shape, DType::f32); }
  static TensorView slice(const TensorView& t, std::int64_t first, std::int64_t channels) {
    auto* const data = static_cast<std::byte*>(t.data) + first * static_cast<std::int64_t>(size_of(t.dtype));
    return {data, {t.shape[0], t.shape[1], t.shape[2], channels}, t.pixel_stride, t.dtype};
  }
  TensorView wanted(const TensorView& weights) { return o_.weight_step ? f32(weights.shape) : TensorView(); }

  void add(std::string operation, const KernelCost& cost, std::function<void(void*)> run = {}) {
    launches_.push_back({std::move(operation), cost, std::move(run)});
  }
  void add_elementwise(std::string operation, double tensors, const TensorView& t, double flops) {
    const auto elements = static_cast<double>(t.elements());
    add(std::move(operation), {1, tensors * elements * static_cast<double>(size_of(t.dtype)), flops * elements, 0.0});
  }

  void cell(int index);
  State preprocess(const Output& input, std::int64_t side, std::int64_t channels, bool reduce);
  Edge edge(int state, int node, const State& from, std::int64_t channels, std::int64_t side);
  void forward_states(const std::vector<State>& states, const std::vector<int>& which, std::vector<Edge>& edges);
  void backward_states(std::vector<State>& states, const std::vector<int>& which, std::vector<Edge>& edges,
                       const std::vector<TensorView>& node_gradients);
  std::vector<NodeTerm> terms_of(int node, const std::vector<State>& states, const std::vector<Edge>& edges) const;
  std::vector<TensorView> gradients_of(int node, const std::vector<Edge>& edges) const;

  DartsStepOptions o_;
  std::uintptr_t next_;
  StepMemory memory_;
  std::vector<StepLaunch> launches_;
  std::vector<std::function<void()>> backward_;  // of the cells, in the order of the forward pass
  std::deque<Output> outputs_;                   // of stem and cells
  TensorView w_;
  TensorView dw_;
};

Step::State Step::preprocess(const Output& input, std::int64_t side, std::int64_t channels, bool reduce) {
  State state;
  state.source = {activation(side, channels), f32({normalisation_rows, channels})};
  state.dx = activation(side, channels);
  state.gradient = f32({normalisation_gradient_rows, channels});
  const auto in = static_cast<double>(input.x.elements());
  const auto out = static_cast<double>(state.source.x.elements());
  const auto size = static_cast<double>(size_of(o_.dtype));
  const double product = 2.0 * out * static_cast<double>(input.x.channels());
  add(reduce ? "preprocess (factorised reduce)" : "preprocess (1x1)", {1, (in + out) * size, in + 5.0 * out, product});
  return state;
}

Step::Edge Step::edge(int state, int node, const State& from, std::int64_t channels, std::int64_t side) {
  Edge e{state, node, {}, {}, {}};
  std::int32_t weight = 8 * (node * (node + 3) / 2 + state);  // two edges for the first node, then one more for each
  const auto op = [&](CandidateKind kind, const SeparableWindow& window, int stride) {
    Op made;
    made.candidate.kind = kind;
    made.candidate.window = window;
    if (kind == CandidateKind::separable) {
      made.candidate.filter = f32({window.kernel, window.kernel, channels});
      made.y = activation(side, channels);
    }
    if (kind == CandidateKind::factorised_reduce) made.y = activation(side, channels);
    if (made.y) made.candidate.pointwise = f32({channels, channels});
    if (kind == CandidateKind::max_pool) {
      made.normalisation = from.pooled[0];
    } else if (kind == CandidateKind::avg_pool) {
      made.normalisation = from.pooled[1];
    } else if (kind != CandidateKind::identity) {
      made.normalisation = f32({normalisation_rows, channels});
    }
    made.gradient = f32({normalisation_gradient_rows, channels});
    made.stride = stride;
    made.weight = ++weight;  // 0 is `none`
    return made;
  };
  const int s = from.stride;
  e.first.push_back(op(CandidateKind::max_pool, pool_3, s));
  e.first.push_back(op(CandidateKind::avg_pool, pool_3, s));
  e.first.push_back(op(s == 1 ? CandidateKind::identity : CandidateKind::factorised_reduce, {}, s));
  for (const SeparableWindow& window : {window_3, window_5}) {
    e.first.push_back(op(CandidateKind::separable, window, s));
    --weight;
    e.second.push_back(op(CandidateKind::separable, window, 1));
    e.dz.push_back(activation(side, channels));
  }
  for (const SeparableWindow& window : {dilated_3, dilated_5}) {
    e.first.push_back(op(CandidateKind::separable, window, s));
    e.first.back().recompute = o_.recompute_dilated;
  }
  return e;
}

void Step::forward_states(const std::vector<State>& states, const std::vector<int>& which, std::vector<Edge>& edges) {
  struct Launch {
    std::vector<StateBundle> bundles;
    std::deque<std::vector<Candidate>> candidates;
    std::deque<std::vector<CandidateOutput>> outputs;
    void add(const BundleSource& source, std::vector<Candidate> c, std::vector<CandidateOutput> out) {
      candidates.push_back(std::move(c));
      outputs.push_back(std::move(out));
      bundles.push_back({source, candidates.back(), outputs.back()});
    }
  };
  const auto first = std::make_shared<Launch>();
  const auto second = std::make_shared<Launch>();
  for (const int s : which) {
    std::vector<Candidate> candidates;
    std::vector<CandidateOutput> outputs;
    bool pooled = false;
    for (Edge& e : edges) {
      if (e.state != s) continue;
      std::size_t stage = 0;
      for (std::size_t k = 0; k < e.first.size(); ++k) {
        const Op& op = e.first[k];
        const bool pool = op.candidate.kind == CandidateKind::max_pool || op.candidate.kind == CandidateKind::avg_pool;
        // Pools do not depend on the edge: those of the first serve all.
        if (op.candidate.kind == CandidateKind::identity || (pool && pooled)) continue;
        candidates.push_back(op.candidate);
        outputs.push_back({op.y, op.normalisation, {}});
        const bool has_second = op.candidate.kind == CandidateKind::separable && stage < e.second.size();
        if (has_second) {
          const Op& next = e.second[stage++];
          second->add({op.y, op.normalisation}, {next.candidate}, {{next.y, next.normalisation, {}}});
        }
      }
      pooled = true;
    }
    first->add(states[static_cast<std::size_t>(s)].source, std::move(candidates), std::move(outputs));
  }
  const int stride = states[static_cast<std::size_t>(which[0])].stride;
  const auto add_launch = [this](const char* operation, int step, const std::shared_ptr<Launch>& launch) {
    const std::span<std::byte> scratch = workspace(state_bundle_forward_workspace(step, launch->bundles));
    add(operation, state_bundle_forward_cost(step, launch->bundles), [=, product = o_.product](void* stream) {
      state_bundle_forward({}, step, launch->bundles, product, scratch, stream);
    });
  };
  add_launch("state_bundle_forward", stride, first);
  add_launch("state_bundle_forward (second stages)", 1, second);
}

std::vector<NodeTerm> Step::terms_of(int node, const std::vector<State>& states, const std::vector<Edge>& edges) const {
  std::vector<NodeTerm> terms;
  for (const Edge& e : edges) {
    if (e.node != node) continue;
    const BundleSource& source = states[static_cast<std::size_t>(e.state)].source;
    std::size_t stage = 0;
    for (const Op& op : e.first) {
      if (op.candidate.kind == CandidateKind::separable && stage < e.second.size()) {
        const Op& next = e.second[stage++];
        terms.push_back({{}, next.candidate, 1, next.y, next.normalisation, next.weight});
      } else {
        terms.push_back(
            {source, op.candidate, op.stride, op.recompute ? TensorView() : op.y, op.normalisation, op.weight});
      }
    }
  }
  return terms;
}

std::vector<TensorView> Step::gradients_of(int node, const std::vector<Edge>& edges) const {
  std::vector<TensorView> gradients;
  for (const Edge& e : edges) {
    if (e.node != node) continue;
    std::size_t stage = 0;
    for (const Op& op : e.first) {
      const bool two = op.candidate.kind == CandidateKind::separable && stage < e.second.size();
      gradients.push_back(two ? e.second[stage++].gradient : op.gradient);
    }
  }
  return gradients;
}

void Step::backward_states(std::vector<State>& states, const std::vector<int>& which, std::vector<Edge>& edges,
                           const std::vector<TensorView>& node_gradients) {
  struct Launch {
    std::vector<StateGradient> states;
    std::deque<std::vector<CandidateGradient>> candidates;
  };
  const auto first = std::make_shared<Launch>();
  const auto second = std::make_shared<Launch>();
  for (const int s : which) {
    State& state = states[static_cast<std::size_t>(s)];
    std::vector<CandidateGradient> of_state;
    for (Edge& e : edges) {
      if (e.state != s) continue;
      const TensorView& g = node_gradients[static_cast<std::size_t>(e.node)];
      std::size_t stage = 0;
      for (const Op& op : e.first) {
        const TensorView dfilter = op.candidate.filter ? wanted(op.candidate.filter) : TensorView();
        const TensorView dpointwise = op.candidate.pointwise ? wanted(op.candidate.pointwise) : TensorView();
        if (op.candidate.kind == CandidateKind::separable && stage < e.second.size()) {
          const Op& next = e.second[stage];
          const TensorView& dz = e.dz[stage++];
          second->candidates.push_back({{next.candidate, next.y, g, next.gradient, wanted(next.candidate.filter),
                                         wanted(next.candidate.pointwise)}});
          second->states.push_back(
              {{op.y, op.normalisation}, second->candidates.back(), dz, Write::overwrite, op.gradient});
          of_state.push_back({op.candidate, op.y, dz, op.gradient, dfilter, dpointwise});
        } else {
          of_state.push_back({op.candidate, op.y, g, op.gradient, dfilter, dpointwise});
        }
      }
    }
    first->candidates.push_back(std::move(of_state));
    first->states.push_back({state.source, first->candidates.back(), state.dx, state.write, state.gradient});
  }
  const int stride = states[static_cast<std::size_t>(which[0])].stride;
  const auto add_launch = [this](const char* operation, int step, const std::shared_ptr<Launch>& launch) {
    const std::span<std::byte> scratch = workspace(state_bundle_backward_workspace(step, launch->states));
    add(operation, state_bundle_backward_cost(step, launch->states), [=, product = o_.product](void* stream) {
      state_bundle_backward(step, launch->states, product, scratch, stream);
    });
  };
  add_launch("state_bundle_backward (second stages)", 1, second);
  add_launch("state_bundle_backward", stride, first);
}

void Step::cell(int index) {
  const bool reduction = index == o_.layers / 3 || index == 2 * o_.layers / 3;
  Output& before = outputs_[outputs_.size() - 2];
  Output& last = outputs_.back();
  const std::int64_t side_in = last.x.shape[1];
  const std::int64_t side = reduction ? side_in / 2 : side_in;
  std::int64_t channels = o_.channels;
  for (int i = 0; i <= index; ++i)
    channels *= (i == o_.layers / 3 || i == 2 * o_.layers / 3) ? 2 : 1;

  auto states = std::make_shared<std::vector<State>>();
  states->push_back(preprocess(before, side_in, channels, before.x.shape[1] != side_in));
  states->push_back(preprocess(last, side_in, channels, false));
  for (State& s : *states)
    s.stride = reduction ? 2 : 1;
  Output out{activation(side, nodes * channels), activation(side, nodes * channels)};
  for (int n = 0; n < nodes; ++n) {
    states->push_back({{slice(out.x, n * channels, channels), {}},
                       slice(out.dx, n * channels, channels),
                       Write::accumulate,
                       {},
                       1,
                       {}});
  }
  for (State& s : *states) {
    for (TensorView& normalisation : s.pooled)
      normalisation = f32({normalisation_rows, channels});
  }
  auto edges = std::make_shared<std::vector<Edge>>();
  for (int n = 0; n < nodes; ++n) {
    for (int s = 0; s < n + 2; ++s)
      edges->push_back(edge(s, n, (*states)[static_cast<std::size_t>(s)], channels, side));
  }
  for (int n = 0; n < nodes; ++n) {
    forward_states(*states, n == 0 ? std::vector<int>{0, 1} : std::vector<int>{n + 1}, *edges);
    const TensorView node = (*states)[static_cast<std::size_t>(n + 2)].source.x;
    const std::vector<NodeTerm> terms = terms_of(n, *states, *edges);
    add("node_forward", node_forward_cost(terms, node),
        [=, w = w_, product = o_.product](void* stream) { node_forward(terms, w, node, product, stream); });
  }

  outputs_.push_back(out);
  Output* const inputs[2] = {&before, &last};
  const bool first_cell = index == 0;
  backward_.push_back([this, states, edges, inputs, first_cell] {
    std::vector<TensorView> node_gradients;
    for (int n = 0; n < nodes; ++n)
      node_gradients.push_back((*states)[static_cast<std::size_t>(n + 2)].dx);
    for (int n = nodes - 1; n >= 0; --n) {
      const TensorView g = node_gradients[static_cast<std::size_t>(n)];
      const std::vector<NodeTerm> terms = terms_of(n, *states, *edges);
      const std::vector<TensorView> gradients = gradients_of(n, *edges);
      const std::span<std::byte> scratch = workspace(node_backward_workspace(terms, g.shape));
      const TensorView dw = o_.weight_step ? TensorView() : dw_;
      add("node_backward", node_backward_cost(terms, g), [=, w = w_, product = o_.product](void* stream) {
        node_backward(terms, w, g, dw, gradients, product, scratch, stream);
      });
      // The architecture's gradient needs nothing of what lies before the first cell's nodes.
      if (n == 0 && first_cell && !o_.weight_step) return;
      backward_states(*states, n == 0 ? std::vector<int>{0, 1} : std::vector<int>{n + 1}, *edges, node_gradients);
    }
    for (int i = 0; i < 2; ++i) {
      Output& input = *inputs[i];
      const State& s = (*states)[static_cast<std::size_t>(i)];
      const auto in = static_cast<double>(input.x.elements());
      const auto out_elements = static_cast<double>(s.dx.elements());
      const double product = 2.0 * out_elements * static_cast<double>(input.x.channels());
      const auto size = static_cast<double>(size_of(o_.dtype));
      add("preprocess backward", {1, (2.0 * out_elements + in * (input.written ? 3.0 : 2.0)) * size,
                                  3.0 * out_elements + in, product * (o_.weight_step ? 2.0 : 1.0)});
      input.written = true;
    }
  });
}

std::vector<StepLaunch> Step::build() {
  const std::int64_t stem = 3 * o_.channels;
  w_ = f32({2, 14, 8});
  dw_ = f32({2, 14, 8});
  add("softmax", {1, 2.0 * 224 * 4, 0.0, 0.0});
  const TensorView image = activation(o_.side, 3);
  outputs_.push_back({activation(o_.side, stem), activation(o_.side, stem)});
  const double stem_flops = 2.0 * 27 * static_cast<double>(outputs_[0].x.elements());
  const auto size = static_cast<double>(size_of(o_.dtype));
  const auto stem_bytes = static_cast<double>(image.elements() + outputs_[0].x.elements()) * size;
  add("stem convolution (cuDNN)", {1, stem_bytes, 0.0, stem_flops});
  add_elementwise("batch_norm statistics", 1.0, outputs_[0].x, 5.0);
  add_elementwise("batch_norm", 2.0, outputs_[0].x, 2.0);
  outputs_.push_front(outputs_[0]);  // the first cell reads the stem twice
  for (int i = 0; i < o_.layers; ++i)
    cell(i);
  const TensorView& top = outputs_.back().x;
  add_elementwise("global_avg_pool", 1.0, top, 1.0);
  add("linear (cuBLASLt)", {1, 0.0, 0.0, 2.0 * static_cast<double>(o_.batch * top.channels() * 10)});
  add("cross_entropy", {1, 0.0, 0.0, 0.0});

  add("cross_entropy backward", {1, 0.0, 0.0, 0.0});
  add("linear backward data (cuBLASLt)", {1, 0.0, 0.0, 2.0 * static_cast<double>(o_.batch * top.channels() * 10)});
  if (o_.weight_step) {
    add("linear backward weight (cuBLASLt)", {1, 0.0, 0.0, 2.0 * static_cast<double>(o_.batch * top.channels() * 10)});
  }
  add_elementwise("global_avg_pool backward", 1.0, top, 1.0);
  for (auto each = backward_.rbegin(); each != backward_.rend(); ++each)
    (*each)();
  if (o_.weight_step) {
    add_elementwise("batch_norm backward sums", 2.0, outputs_[0].x, 4.0);
    add_elementwise("batch_norm backward", 3.0, outputs_[0].x, 4.0);
    add("stem convolution backward weight (cuDNN)", {1, stem_bytes, 0.0, stem_flops});
  } else {
    add("softmax backward", {1, 3.0 * 224 * 4, 0.0, 0.0});
  }
  return std::move(launches_);
}

}  // namespace

std::vector<StepLaunch> darts_step(const DartsStepOptions& options, StepMemory* memory) {
  Step step(options);
  std::vector<StepLaunch> launches = step.build();
  if (memory != nullptr) *memory = step.memory();
  return launches;
}

}  // namespace dnas::simt
