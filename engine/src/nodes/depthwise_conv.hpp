#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/kernels/depthwise_conv.hpp"

namespace dnas::engine {

/// (x, w) -> y
class DepthwiseConvOp final : public Op {
 public:
  explicit DepthwiseConvOp(const kernels::DepthwiseConv& conv) : conv_(conv) {}

  [[nodiscard]] const kernels::DepthwiseConv& conv() const noexcept { return conv_; }

  [[nodiscard]] std::string_view kind() const override { return "depthwise_conv"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  kernels::DepthwiseConv conv_;
};

}  // namespace dnas::engine
