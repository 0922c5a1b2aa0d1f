#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/kernels/pointwise_conv.hpp"

namespace dnas::engine {

/// (x, w) -> y
class PointwiseConvOp final : public Op {
 public:
  PointwiseConvOp(const kernels::PointwiseConv& conv, std::int64_t out_channels)
      : conv_(conv), out_channels_(out_channels) {}

  [[nodiscard]] const kernels::PointwiseConv& conv() const noexcept { return conv_; }

  [[nodiscard]] std::string_view kind() const override { return "pointwise_conv"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  kernels::PointwiseConv conv_;
  std::int64_t out_channels_;
};

}  // namespace dnas::engine
