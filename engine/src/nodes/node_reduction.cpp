#include "nodes/node_reduction.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/node_reduction.hpp"

#include "nodes/partial.hpp"
#include "nodes/weighted_sum.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace dnas::engine {

namespace {

using kernels::max_reduction_terms;
using Terms = std::array<kernels::ReductionTerm, max_reduction_terms>;

/// A term of a backward pass.
struct GradientTerm {
  std::int32_t index = 0;
  bool want_rows = false;
};

/// (w, dy, partial of w?, then per term x, its normalisation?) -> dw?, then per term its rows?
class NodeReductionBackwardOp final : public Op {
 public:
  NodeReductionBackwardOp(bool want_weights, std::vector<GradientTerm> terms)
      : want_weights_(want_weights), terms_(std::move(terms)) {}

  [[nodiscard]] std::string_view kind() const override { return "node_reduction_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    std::vector<TensorType> out;
    if (want_weights_) out.push_back(in[w_in]);
    for (const GradientTerm& term : terms_) {
      if (term.want_rows) out.emplace_back(Shape{kernels::normalisation_gradient_rows, in[dy_in].shape[-1]});
    }
    return out;
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::node_reduction_backward_workspace(in[dy_in].shape, terms_.size());
  }
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override {
    return want_weights_ && index == 0 ? share_partial(in, partial_in) : Sharing{};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    Terms terms;
    std::array<TensorView, max_reduction_terms> rows;
    kernels::ReductionGradients gradients;
    std::size_t out = 0;
    if (want_weights_) {
      gradients.dw = args.out[out++];
      if (!args.in[partial_in]) std::fill_n(gradients.dw.f32(), gradients.dw.elements(), 0.0F);
    }
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      terms[k] = {args.in[first_term_in + 2 * k], args.in[first_term_in + 2 * k + 1], terms_[k].index};
      if (terms_[k].want_rows) rows[k] = args.out[out++];
    }
    gradients.normalisation = std::span(rows).first(terms_.size());
    kernels::node_reduction_backward(ctx, std::span(terms).first(terms_.size()), args.in[w_in], args.in[dy_in],
                                     gradients, args.workspace);
  }

 private:
  enum Input { w_in, dy_in, partial_in, first_term_in };

  bool want_weights_;
  std::vector<GradientTerm> terms_;
};

// Of the forward pass.
int x_input(std::size_t term) {
  return 1 + 2 * static_cast<int>(term);
}
int normalisation_input(std::size_t term) {
  return 2 + 2 * static_cast<int>(term);
}

}  // namespace

std::string NodeReductionOp::key() const {
  return fmt::format("node_reduction {}", fmt::join(index_, " "));
}

std::vector<TensorType> NodeReductionOp::infer(std::span<const TensorType> in) const {
  for (std::size_t k = 1; k < index_.size(); ++k) {
    if (in[1 + 2 * k] == in[1]) continue;
    throw ShapeError(fmt::format("node_reduction: term {} is {}, expected {} like term 0", k,
                                 in[1 + 2 * k].shape.to_string(), in[1].shape.to_string()));
  }
  return {in[1]};
}

void NodeReductionOp::run(const Context& ctx, const OpArguments& args) const {
  Terms terms;
  for (std::size_t k = 0; k < index_.size(); ++k)
    terms[k] = {args.in[1 + 2 * k], args.in[2 + 2 * k], index_[k]};
  kernels::node_reduction_forward(ctx, std::span(terms).first(index_.size()), args.in[0], args.out[0]);
}

void NodeReductionOp::backward(Backward& backward) const {
  const ValueId w = backward.input(0);
  const ValueId dy = backward.gradient(0);
  const bool want_weights = backward.wanted(0);
  // All terms, whatever is wanted of them: the kernel groups its sums by what it is given, and what else is wanted must
  // not change a bit of them.
  std::vector<ValueId> inputs{w, dy, want_weights ? backward.partial(0) : no_value};
  std::vector<GradientTerm> terms;
  std::vector<std::size_t> with_rows;
  std::vector<WeightedInput> plain;
  for (std::size_t k = 0; k < index_.size(); ++k) {
    const int x = x_input(k);
    const bool normalised = backward.input(normalisation_input(k)) != no_value;
    const bool wanted = backward.wanted(x);
    terms.push_back({index_[k], normalised && wanted});
    inputs.push_back(backward.input(x));
    inputs.push_back(backward.input(normalisation_input(k)));
    if (wanted && normalised) with_rows.push_back(k);
    if (wanted && !normalised) plain.push_back({x, index_[k]});
  }
  if (want_weights || !with_rows.empty()) {
    const auto outputs =
        backward.graph().add(std::make_shared<NodeReductionBackwardOp>(want_weights, std::move(terms)), inputs);
    const std::vector<ValueId> gradients(outputs.begin(), outputs.end());
    std::size_t out = 0;
    if (want_weights) backward.set_partial(0, gradients[out++]);
    for (const std::size_t k : with_rows) {
      if (backward.partial(x_input(k)) != no_value) {
        throw Error(fmt::format("node_reduction: term {} has a gradient already, expected no other reader of it", k));
      }
      backward.set_partial(x_input(k), dy);
      backward.set_partial(normalisation_input(k), gradients[out++]);
    }
  }
  contribute_weighted(backward, w, dy, std::move(plain));
}

}  // namespace dnas::engine
