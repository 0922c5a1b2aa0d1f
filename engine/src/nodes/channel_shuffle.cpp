#include "dnas/kernels/channel_shuffle.hpp"

#include "dnas/engine/autodiff.hpp"
#include "dnas/engine/nodes.hpp"
#include "dnas/kernels/error.hpp"

#include "nodes/partial.hpp"

#include <fmt/format.h>

#include <array>

namespace dnas::engine {

namespace {

/// (dy, partial) -> dx
class ChannelShuffleBackwardOp final : public Op {
 public:
  explicit ChannelShuffleBackwardOp(std::int64_t groups) : groups_(groups) {}

  [[nodiscard]] std::string_view kind() const override { return "channel_shuffle_backward"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> in) const override {
    return share_partial(in, 1);
  }
  void run(const Context& ctx, const OpArguments& args) const override {
    const TensorView& dx = args.out[0];
    kernels::channel_shuffle(ctx, dx.channels() / groups_, args.in[0], dx, write_mode(args.in[1]));
  }

 private:
  std::int64_t groups_;
};

/// x -> y
class ChannelShuffleOp final : public Op {
 public:
  explicit ChannelShuffleOp(std::int64_t groups) : groups_(groups) {}

  [[nodiscard]] std::string_view kind() const override { return "channel_shuffle"; }
  [[nodiscard]] std::string key() const override { return fmt::format("channel_shuffle {}", groups_); }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void run(const Context& ctx, const OpArguments& args) const override {
    kernels::channel_shuffle(ctx, groups_, args.in[0], args.out[0], Write::overwrite);
  }
  void backward(Backward& backward) const override {
    backward.contribute(0, std::make_shared<ChannelShuffleBackwardOp>(groups_), {backward.gradient(0)});
  }

 private:
  std::int64_t groups_;
};

}  // namespace

ValueId nodes::channel_shuffle(Graph& graph, ValueId x, std::int64_t groups) {
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 4) {
    throw ShapeError(fmt::format("channel_shuffle: x is {}, expected [N, H, W, C]", shape.to_string()));
  }
  if (groups < 1 || shape[3] % groups != 0) {
    throw ShapeError(
        fmt::format("channel_shuffle: {} groups do not divide the channels of x {}", groups, shape.to_string()));
  }
  if (groups == 1 || groups == shape[3]) return x;
  return graph.add1(std::make_shared<ChannelShuffleOp>(groups), std::array{x});
}

}  // namespace dnas::engine
