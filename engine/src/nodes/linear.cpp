#include "dnas/kernels/linear.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, w, partial) -> dx
class LinearBackwardDataOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "linear_backward_data"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{in[0].shape[0], in[1].shape[1]}};
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[0].shape[0] * in[1].shape.elements();
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::linear_backward_data(ctx, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]));
  }
};

/// (x, dy) -> dw, db
class LinearBackwardWeightOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "linear_backward_weight"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const std::int64_t out = in[1].shape[1];
    return {Shape{out, in[0].shape[1]}, Shape{out}};
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[1].shape.elements() * in[0].shape[1];
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::linear_backward_weight(ctx, args.in[0], args.in[1], args.out[0], args.out[1]);
  }
};

/// (x [N, I], w [O, I], b [O]) -> y [N, O]
class LinearOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "linear"; }
  [[nodiscard]] std::string key() const override { return "linear"; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{in[0].shape[0], in[1].shape[0]}};
  }
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override {
    return in[0].shape[0] * in[1].shape.elements();
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::linear_forward(ctx, args.in[0], args.in[1], args.in[2], args.out[0]);
  }
  void backward(Backward& backward) const override {
    const ValueId dy = backward.gradient(0);
    if (backward.wanted(1)) {
      const auto out =
          backward.graph().add(std::make_shared<LinearBackwardWeightOp>(), std::array{backward.input(0), dy});
      const std::array gradients{out[0], out[1]};
      backward.add(1, gradients[0]);
      backward.add(2, gradients[1]);
    }
    if (backward.wanted(0)) {
      backward.contribute(0, std::make_shared<LinearBackwardDataOp>(), {dy, backward.input(1)});
    }
  }
};

}  // namespace

ValueId nodes::linear(Graph& graph, ValueId x, const std::string& name, std::int64_t out) {
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 2) throw ShapeError(fmt::format("linear {}: x is {}, expected [N, I]", name, shape.to_string()));
  const std::int64_t in = shape[1];
  const ValueId w = graph.parameter({.name = name + ".weight",
                                     .shape = {out, in},
                                     .layout = ParameterLayout::matrix,
                                     .init = ParameterInit::uniform,
                                     .fan_in = in});
  const ValueId b = graph.parameter({.name = name + ".bias",
                                     .shape = {out},
                                     .layout = ParameterLayout::vector,
                                     .init = ParameterInit::uniform,
                                     .fan_in = in});
  return graph.add1(std::make_shared<LinearOp>(), std::array{x, w, b});
}

}  // namespace dnas::engine
