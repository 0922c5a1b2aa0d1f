#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"
#include "dnas/kernels/pool.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, partial) -> dx
class GlobalAvgPoolBackwardOp final : public Op {
 public:
  explicit GlobalAvgPoolBackwardOp(const Shape& x) : x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "global_avg_pool_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::global_avg_pool_backward(ctx, args.in[0], args.out[0], write_mode(args.in[1]));
  }

 private:
  Shape x_;
};

/// x [N, H, W, C] -> y [N, C]
class GlobalAvgPoolOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "global_avg_pool"; }
  [[nodiscard]] std::string key() const override { return "global_avg_pool"; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() != 4) throw ShapeError(fmt::format("global_avg_pool: x is {}, expected [N, H, W, C]", x.to_string()));
    return {Shape{x[0], x[3]}};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::global_avg_pool_forward(ctx, args.in[0], args.out[0]);
  }
  void backward(Backward& backward) const override {
    const Shape shape = backward.graph().shape(backward.input(0));
    backward.contribute(0, std::make_shared<GlobalAvgPoolBackwardOp>(shape), {backward.gradient(0)});
  }
};

}  // namespace

ValueId nodes::global_avg_pool(Graph& graph, ValueId x) {
  return graph.add1(std::make_shared<GlobalAvgPoolOp>(), std::array{x});
}

}  // namespace dnas::engine
