#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/pool.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, partial) -> dx
class AvgPoolBackwardOp final : public Op {
 public:
  AvgPoolBackwardOp(const kernels::Pool& pool, const Shape& x) : pool_(pool), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "avg_pool_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::avg_pool_backward(ctx, pool_, args.in[0], args.out[0], write_mode(args.in[1]));
  }

 private:
  kernels::Pool pool_;
  Shape x_;
};

/// x -> y
class AvgPoolOp final : public Op {
 public:
  explicit AvgPoolOp(const kernels::Pool& pool) : pool_(pool) {}

  [[nodiscard]] std::string_view kind() const override { return "avg_pool"; }
  [[nodiscard]] std::string key() const override {
    return fmt::format("avg_pool k{} s{} p{}", pool_.kernel, pool_.stride, pool_.padding);
  }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    return {pool_.output_shape(in[0].shape)};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::avg_pool_forward(ctx, pool_, args.in[0], args.out[0]);
  }
  void backward(Backward& backward) const override {
    const Shape shape = backward.graph().shape(backward.input(0));
    backward.contribute(0, std::make_shared<AvgPoolBackwardOp>(pool_, shape), {backward.gradient(0)});
  }

 private:
  kernels::Pool pool_;
};

}  // namespace

ValueId nodes::avg_pool(Graph& graph, ValueId x, const kernels::Pool& pool) {
  return graph.add1(std::make_shared<AvgPoolOp>(pool), std::array{x});
}

}  // namespace dnas::engine
