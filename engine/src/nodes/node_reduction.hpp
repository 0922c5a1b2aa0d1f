#pragma once

#include "dnas/engine/op.hpp"

#include <cstdint>
#include <vector>

namespace dnas::engine {

/// (w, then per term x, its normalisation?) -> y = sum of w[index] * norm(x): a weighted sum that normalises its terms.
///
/// The gradient of a normalised term is passed on in parts, as separable_bundle.hpp says: that of y itself for x, and
/// rows for the normalisation. So this must be the only reader of both.
class NodeReductionOp final : public Op {
 public:
  explicit NodeReductionOp(std::vector<std::int32_t> index) : index_(std::move(index)) {}

  [[nodiscard]] std::string_view kind() const override { return "node_reduction"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  std::vector<std::int32_t> index_;
};

}  // namespace dnas::engine
