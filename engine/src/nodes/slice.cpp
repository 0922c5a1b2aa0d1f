#include "nodes/slice.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/elementwise.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

TensorView channels_of(const TensorView& x, std::int64_t first, std::int64_t channels) {
  const Shape& s = x.shape;
  return {x.f32() + first, {s[0], s[1], s[2], channels}, x.pixel_stride};
}

/// (dy, partial) -> dx: dy in its slice of dx. The other channels get nothing.
class SliceBackwardOp final : public Op {
 public:
  SliceBackwardOp(std::int64_t first, const Shape& x) : first_(first), x_(x) {}

  [[nodiscard]] std::string_view kind() const override { return "slice_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> /*in*/) const override { return {x_}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    const TensorView& dy = args.in[0];
    const TensorView& dx = args.out[0];
    const std::int64_t end = first_ + dy.channels();
    if (!args.in[1]) {
      kernels::fill(ctx, 0.0F, channels_of(dx, 0, first_));
      kernels::fill(ctx, 0.0F, channels_of(dx, end, dx.channels() - end));
    }
    kernels::copy(ctx, dy, channels_of(dx, first_, dy.channels()), write_mode(args.in[1]));
  }

 private:
  std::int64_t first_;
  Shape x_;
};

}  // namespace

std::string SliceOp::key() const {
  return merging_ == Merging::never ? std::string() : fmt::format("slice {} {}", first_, channels_);
}

std::vector<TensorType> SliceOp::infer(std::span<const TensorType> in) const {
  const Shape& s = in[0].shape;
  if (s.rank() != 4) throw ShapeError(fmt::format("slice: x is {}, expected [N, H, W, C]", s.to_string()));
  if (first_ < 0 || channels_ < 1 || first_ + channels_ > s[3]) {
    throw ShapeError(
        fmt::format("slice: {} channels from channel {} on, but x is {}", channels_, first_, s.to_string()));
  }
  return {TensorType({s[0], s[1], s[2], channels_}, in[0].dtype)};
}

void SliceOp::backward(Backward& backward) const {
  const Shape shape = backward.graph().shape(backward.input(0));
  backward.contribute(0, std::make_shared<SliceBackwardOp>(first_, shape), {backward.gradient(0)});
}

ValueId nodes::slice(Graph& graph, ValueId x, std::int64_t first_channel, std::int64_t channels) {
  const Shape& s = graph.shape(x);
  if (s.rank() == 4 && first_channel == 0 && channels == s[3]) return x;
  return graph.add1(std::make_shared<SliceOp>(first_channel, channels, Merging::equal), std::array{x});
}

}  // namespace dnas::engine
