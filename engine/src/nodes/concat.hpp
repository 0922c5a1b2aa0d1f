#pragma once

#include "dnas/engine/op.hpp"

namespace dnas::engine {

/// Concatenation along the channels. Its inputs were computed in place (Graph::concat), so it does nothing when it
/// runs.
class ConcatOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "concat"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;
};

}  // namespace dnas::engine
