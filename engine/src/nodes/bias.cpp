#include "dnas/kernels/bias.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"

#include "nodes/partial.hpp"

#include <array>

namespace dnas::engine {

namespace {

/// (dy, partial) -> db
class BiasBackwardOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "bias_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {Shape{in[0].shape[-1]}};
  }
  [[nodiscard]] std::size_t workspace(const Context& /*ctx*/, std::span<const TensorType> in) const override {
    return kernels::bias_workspace(in[0].shape);
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::bias_backward(ctx, args.in[0], args.out[0], write_mode(args.in[1]), args.workspace);
  }
};

/// (x, b) -> y
class BiasOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "bias"; }
  [[nodiscard]] std::string key() const override { return "bias"; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::bias_forward(ctx, args.in[0], args.in[1], args.out[0]);
  }
  void backward(Backward& backward) const override {
    if (backward.wanted(1)) backward.contribute(1, std::make_shared<BiasBackwardOp>(), {backward.gradient(0)});
    if (backward.wanted(0)) backward.pass(0, 0);  // last: it may be added to from here on
  }
};

}  // namespace

ValueId nodes::bias(Graph& graph, ValueId x, const std::string& name) {
  const ValueId b = graph.parameter({.name = name + ".bias",
                                     .shape = {graph.shape(x)[-1]},
                                     .layout = ParameterLayout::vector,
                                     .init = ParameterInit::zeros});
  return graph.add1(std::make_shared<BiasOp>(), std::array{x, b});
}

}  // namespace dnas::engine
