#pragma once

#include "dnas/engine/op.hpp"

namespace dnas::engine {

/// (x, partial?) -> partial + x, in place of the partial. Never merged: a copy is made to be added to.
class CopyOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "copy"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;
};

}  // namespace dnas::engine
