#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/pool.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, argmax, partial) -> dx
class MaxPoolBackwardOp final : public Op {
 public:
  MaxPoolBackwardOp(const kernels::Pool& pool, const Shape& x) : pool_(pool), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "max_pool_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 2);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::max_pool_backward(ctx, pool_, args.in[0], args.in[1], args.out[0], write_mode(args.in[2]));
  }

 private:
  kernels::Pool pool_;
  Shape x_;
};

/// x -> y, argmax
class MaxPoolOp final : public Op {
 public:
  explicit MaxPoolOp(const kernels::Pool& pool) : pool_(pool) {}

  [[nodiscard]] std::string_view kind() const override { return "max_pool"; }
  [[nodiscard]] std::string key() const override {
    return fmt::format("max_pool k{} s{} p{}", pool_.kernel, pool_.stride, pool_.padding);
  }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const Shape y = pool_.output_shape(in[0].shape);
    return {y, {y, DType::u8}};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::max_pool_forward(ctx, pool_, args.in[0], args.out[0], args.out[1]);
  }
  void backward(Backward& backward) const override {
    const Shape shape = backward.graph().shape(backward.input(0));
    backward.contribute(0, std::make_shared<MaxPoolBackwardOp>(pool_, shape),
                        {backward.gradient(0), backward.output(1)});
  }

 private:
  kernels::Pool pool_;
};

}  // namespace

ValueId nodes::max_pool(Graph& graph, ValueId x, const kernels::Pool& pool) {
  return graph.add(std::make_shared<MaxPoolOp>(pool), std::array{x}).front();
}

}  // namespace dnas::engine
