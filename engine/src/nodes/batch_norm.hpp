#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/kernels/batch_norm.hpp"

namespace dnas::engine {

/// (x, gamma?, beta?, running_mean?, running_var?) -> y, mean, rstd. Moves the running statistics.
class BatchNormOp final : public Op {
 public:
  explicit BatchNormOp(const kernels::BatchNorm& settings) : settings_(settings) {}

  [[nodiscard]] const kernels::BatchNorm& settings() const noexcept { return settings_; }

  [[nodiscard]] std::string_view kind() const override { return "batch_norm"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  kernels::BatchNorm settings_;
};

}  // namespace dnas::engine
