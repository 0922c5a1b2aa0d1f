#include "dnas/kernels/dropout.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/check.hpp"
#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// What drops elements or images: a linear function of x, so that it is its own gradient.
struct Drop {
  std::string_view kind;
  std::string_view backward_kind;
  decltype(&kernels::dropout) kernel;
};

constexpr Drop by_element{"dropout", "dropout_backward", kernels::dropout};
constexpr Drop by_image{"drop_path", "drop_path_backward", kernels::drop_path};

/// (dy, rate, random, partial) -> dx, with the draws of the forward pass.
class DropBackwardOp final : public Op {
 public:
  DropBackwardOp(const Drop& drop, std::int64_t site) : drop_(drop), site_(site) {}

  [[nodiscard]] std::string_view kind() const override { return drop_.backward_kind; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return in[3].present ? share_partial(in, 3) : Sharing{0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    drop_.kernel(ctx, args.in[0], args.in[1], {args.in[2], site_}, args.out[0], write_mode(args.in[3]));
  }

 private:
  Drop drop_;
  std::int64_t site_;
};

/// (x, rate, random) -> y
class DropOp final : public Op {
 public:
  DropOp(const Drop& drop, std::int64_t site) : drop_(drop), site_(site) {}

  [[nodiscard]] std::string_view kind() const override { return drop_.kind; }
  [[nodiscard]] std::string key() const override { return fmt::format("{} {}", drop_.kind, site_); }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check::rate(drop_.kind, in[1]);
    check::draws(drop_.kind, in[2], site_);
    return {in[0]};
  }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, false, 0};
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    drop_.kernel(ctx, args.in[0], args.in[1], {args.in[2], site_}, args.out[0], Write::overwrite);
  }
  void backward(Backward& backward) const override {
    if (backward.wanted(1)) throw UnsupportedError(fmt::format("{}: has no gradient by its rate", drop_.kind));
    backward.contribute(0, std::make_shared<DropBackwardOp>(drop_, site_),
                        {backward.gradient(0), backward.input(1), backward.input(2)});
  }

 private:
  Drop drop_;
  std::int64_t site_;
};

ValueId drop(Graph& graph, const Drop& drop, ValueId x, ValueId rate, ValueId random, std::int64_t site) {
  if (graph.mode() == Mode::eval) return x;
  return graph.add1(std::make_shared<DropOp>(drop, site), std::array{x, rate, random});
}

}  // namespace

ValueId nodes::dropout(Graph& graph, ValueId x, ValueId rate, ValueId random, std::int64_t site) {
  return drop(graph, by_element, x, rate, random, site);
}

ValueId nodes::drop_path(Graph& graph, ValueId x, ValueId rate, ValueId random, std::int64_t site) {
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 4) throw ShapeError(fmt::format("drop_path: x is {}, expected [N, H, W, C]", shape.to_string()));
  return drop(graph, by_image, x, rate, random, site);
}

}  // namespace dnas::engine
