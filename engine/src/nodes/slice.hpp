#pragma once

#include "dnas/engine/op.hpp"

#include "nodes/merging.hpp"

#include <cstdint>

namespace dnas::engine {

/// x [N, H, W, C] -> `channels` channels of it from `first` on, in the same memory. Does nothing when it runs.
class SliceOp final : public Op {
 public:
  SliceOp(std::int64_t first, std::int64_t channels, Merging merging)
      : first_(first), channels_(channels), merging_(merging) {}

  [[nodiscard]] std::string_view kind() const override { return "slice"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] Sharing sharing(int /*index*/, std::span<const TensorType> /*in*/) const override {
    return {0, true, first_};
  }
  void run(const Context& /*ctx*/, const OpArguments& /*args*/) const override {}
  void backward(Backward& backward) const override;

 private:
  std::int64_t first_;
  std::int64_t channels_;
  Merging merging_;
};

}  // namespace dnas::engine
