#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/kernels/separable_bundle.hpp"

#include <vector>

namespace dnas::engine {

/// (x, its normalisation?, then per term filter, pointwise, running_mean?, running_var?) -> per term y, normalisation.
/// Moves the running statistics.
///
/// What autodiff takes for the gradient of a term's two outputs are its parts (kernels/normalisation.hpp): g for y, the
/// rows [4, C] for the normalisation. g is often the gradient of a node that other terms have too, so it is only read.
/// The same pair goes to the source where it is normalised. Hence each pair of outputs has exactly one reader.
class SeparableBundleOp final : public Op {
 public:
  SeparableBundleOp(int stride, std::vector<kernels::SeparableWindow> windows)
      : stride_(stride), windows_(std::move(windows)) {}

  [[nodiscard]] std::string_view kind() const override { return "separable_bundle"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override;
  [[nodiscard]] std::int64_t multiply_adds(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  [[nodiscard]] kernels::SeparableBundle bundle() const { return {stride_, windows_}; }

  int stride_;
  std::vector<kernels::SeparableWindow> windows_;
};

}  // namespace dnas::engine
