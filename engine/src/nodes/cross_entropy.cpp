#include "dnas/kernels/cross_entropy.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (p, labels) -> dlogits
class CrossEntropyBackwardOp final : public Op {
 public:
  explicit CrossEntropyBackwardOp(float smoothing) : smoothing_(smoothing) {}

  [[nodiscard]] std::string_view kind() const override { return "cross_entropy_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::cross_entropy_backward(ctx, args.in[0], args.in[1], smoothing_, args.out[0]);
  }

 private:
  float smoothing_;
};

/// (logits [N, K], labels [N]) -> loss [1], p [N, K]
class CrossEntropyOp final : public Op {
 public:
  explicit CrossEntropyOp(float smoothing) : smoothing_(smoothing) {}

  [[nodiscard]] std::string_view kind() const override { return "cross_entropy"; }
  [[nodiscard]] std::string key() const override { return fmt::format("cross_entropy e{}", smoothing_); }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 2 || in[1].shape != Shape{in[0].shape[0]} || in[1].dtype != DType::i64) {
      throw ShapeError(fmt::format("cross_entropy: logits are {} and labels {} {}, expected [N, K] and i64 [N]",
                                   in[0].shape.to_string(), to_string(in[1].dtype), in[1].shape.to_string()));
    }
    return {Shape{1}, in[0]};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::cross_entropy_forward(ctx, args.in[0], args.in[1], smoothing_, args.out[0], args.out[1]);
  }
  void backward(Backward& backward) const override {
    if (backward.has_gradient(0)) {
      throw UnsupportedError(
          "cross_entropy: is only differentiated as the loss itself, not as part of a longer formula");
    }
    const ValueId dlogits = backward.graph().add1(std::make_shared<CrossEntropyBackwardOp>(smoothing_),
                                                  std::array{backward.output(1), backward.input(1)});
    backward.add(0, dlogits);
  }

 private:
  float smoothing_;
};

}  // namespace

ValueId nodes::cross_entropy(Graph& graph, ValueId logits, ValueId labels, float label_smoothing) {
  return graph.add(std::make_shared<CrossEntropyOp>(label_smoothing), std::array{logits, labels}).front();
}

}  // namespace dnas::engine
