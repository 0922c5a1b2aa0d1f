#pragma once

#include "dnas/engine/op.hpp"

#include "nodes/merging.hpp"

namespace dnas::engine {

/// -> 0, f32.
class ZerosOp final : public Op {
 public:
  ZerosOp(const TensorType& type, Merging merging) : type_(type), merging_(merging) {}

  [[nodiscard]] std::string_view kind() const override { return "zeros"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;

 private:
  TensorType type_;
  Merging merging_;
};

}  // namespace dnas::engine
