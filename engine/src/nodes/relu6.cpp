#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/elementwise.hpp"

#include "nodes/partial.hpp"

#include <array>

namespace dnas::engine {

namespace {

/// (y, dy, partial) -> dx
class Relu6BackwardOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "relu6_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return in[2].present ? share_partial(in, 2) : Sharing{1, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::relu6_backward(ctx, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]));
  }
};

/// x -> y
class Relu6Op final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "relu6"; }
  [[nodiscard]] std::string key() const override { return "relu6"; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::relu6_forward(ctx, args.in[0], args.out[0]);
  }
  void backward(Backward& backward) const override {
    backward.contribute(0, std::make_shared<Relu6BackwardOp>(), {backward.output(0), backward.gradient(0)});
  }
};

}  // namespace

ValueId nodes::relu6(Graph& graph, ValueId x) {
  return graph.add1(std::make_shared<Relu6Op>(), std::array{x});
}

}  // namespace dnas::engine
