#pragma once

#include "dnas/engine/graph.hpp"
#include "dnas/engine/op.hpp"

#include <cstdint>
#include <vector>

namespace dnas::engine {

/// (w, x_0 ... x_K-1) -> y
class WeightedSumOp final : public Op {
 public:
  explicit WeightedSumOp(std::vector<std::int32_t> index) : index_(std::move(index)) {}

  /// Flat positions of the terms' weights.
  [[nodiscard]] const std::vector<std::int32_t>& index() const noexcept { return index_; }

  [[nodiscard]] std::string_view kind() const override { return "weighted_sum"; }
  [[nodiscard]] std::string key() const override;
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;

 private:
  std::vector<std::int32_t> index_;
};

/// A term of the node that is differentiated: the position among its inputs, and that of its weight.
struct WeightedInput {
  int input = 0;
  std::int32_t index = 0;
};

/// Adds w[index] * dy to the gradient of each of these inputs, which must be wanted.
void contribute_weighted(Backward& backward, ValueId w, ValueId dy, std::vector<WeightedInput> terms);

}  // namespace dnas::engine
