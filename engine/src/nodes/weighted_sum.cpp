#include "nodes/weighted_sum.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/node_reduction.hpp"
#include "dnas/kernels/weighted_sum.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

namespace dnas::engine {

namespace {

using Indices = std::vector<std::int32_t>;

/// Nodes of a supernet have at most this many terms; bounds the arrays on the stack of run().
constexpr std::size_t max_terms = kernels::max_reduction_terms;

/// (w, dy, partial_0?, ..., partial_K-1?) -> dx_0 ... dx_K-1
class WeightedSumBackwardDataOp final : public Op {
 public:
  explicit WeightedSumBackwardDataOp(Indices index) : index_(std::move(index)) {}

  [[nodiscard]] std::string_view kind() const override { return "weighted_sum_backward_data"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return std::vector<TensorType>(index_.size(), in[1]);
  }
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override {
    return share_partial(in, index + 2);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    std::array<Write, max_terms> writes{};
    for (std::size_t k = 0; k < index_.size(); ++k)
      writes[k] = write_mode(args.in[k + 2]);
    kernels::weighted_sum_backward_data(ctx, index_, args.in[0], args.in[1], args.out,
                                        std::span(writes).first(index_.size()));
  }

 private:
  Indices index_;
};

/// (w, dy, x_0 ... x_K-1, partial?) -> dw
class WeightedSumBackwardWeightsOp final : public Op {
 public:
  explicit WeightedSumBackwardWeightsOp(Indices index) : index_(std::move(index)) {}

  [[nodiscard]] std::string_view kind() const override { return "weighted_sum_backward_weights"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::weighted_sum_workspace(in[1].shape, index_.size());
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, static_cast<int>(in.size()) - 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    const TensorView& dw = args.out[0];
    if (!args.in.back()) std::fill_n(dw.f32(), dw.elements(), 0.0F);
    kernels::weighted_sum_backward_weights(ctx, args.in.subspan(2, index_.size()), index_, args.in[1], dw,
                                           args.workspace);
  }

 private:
  Indices index_;
};

void contribute_once(Backward& backward, ValueId w, ValueId dy, std::span<const WeightedInput> terms) {
  Indices index;
  std::vector<ValueId> inputs{w, dy};
  for (const WeightedInput& term : terms) {
    index.push_back(term.index);
    inputs.push_back(backward.partial(term.input));
  }
  const auto out = backward.graph().add(std::make_shared<WeightedSumBackwardDataOp>(std::move(index)), inputs);
  const std::vector<ValueId> gradients(out.begin(), out.end());
  for (std::size_t i = 0; i < terms.size(); ++i)
    backward.set_partial(terms[i].input, gradients[i]);
}

}  // namespace

void contribute_weighted(Backward& backward, ValueId w, ValueId dy, std::vector<WeightedInput> terms) {
  // A value that is several terms at once gets one contribution per pass.
  while (!terms.empty()) {
    std::set<ValueId> seen;
    std::vector<WeightedInput> now;
    std::vector<WeightedInput> later;
    for (const WeightedInput& term : terms)
      (seen.insert(backward.input(term.input)).second ? now : later).push_back(term);
    contribute_once(backward, w, dy, now);
    terms = std::move(later);
  }
}

std::string WeightedSumOp::key() const {
  return fmt::format("weighted_sum {}", fmt::join(index_, " "));
}

std::vector<TensorType> WeightedSumOp::infer(std::span<const TensorType> in) const {
  for (std::size_t k = 0; k < index_.size(); ++k) {
    if (in[k + 1] != in[1]) {
      throw ShapeError(fmt::format("weighted_sum: term {} is {}, expected {} like term 0", k,
                                   in[k + 1].shape.to_string(), in[1].shape.to_string()));
    }
    if (index_[k] < 0 || index_[k] >= in[0].shape.elements()) {
      throw ShapeError(
          fmt::format("weighted_sum: term {} takes weight {}, but there are {}", k, index_[k], in[0].shape.elements()));
    }
  }
  return {in[1]};
}

void WeightedSumOp::run(const Context& ctx, const OpArguments& args) const {
  kernels::weighted_sum_forward(ctx, args.in.subspan(1), index_, args.in[0], args.out[0]);
}

void WeightedSumOp::backward(Backward& backward) const {
  const ValueId w = backward.input(0);
  const ValueId dy = backward.gradient(0);
  if (backward.wanted(0)) {
    std::vector<ValueId> inputs{w, dy};
    for (int k = 1; k < backward.inputs(); ++k)
      inputs.push_back(backward.input(k));
    backward.contribute(0, std::make_shared<WeightedSumBackwardWeightsOp>(index_), std::move(inputs));
  }
  std::vector<WeightedInput> terms;
  for (int k = 1; k < backward.inputs(); ++k) {
    if (backward.wanted(k)) terms.push_back({k, index_[static_cast<std::size_t>(k - 1)]});
  }
  contribute_weighted(backward, w, dy, std::move(terms));
}

ValueId nodes::weighted_sum(Graph& graph, std::span<const Term> terms, ValueId weights) {
  if (terms.empty() || terms.size() > max_terms) {
    throw ShapeError(fmt::format("weighted_sum: {} terms, expected 1 to {}", terms.size(), max_terms));
  }
  Indices index;
  std::vector<ValueId> inputs{weights};
  for (const Term& term : terms) {
    index.push_back(term.index);
    inputs.push_back(term.x);
  }
  return graph.add1(std::make_shared<WeightedSumOp>(std::move(index)), inputs);
}

}  // namespace dnas::engine
