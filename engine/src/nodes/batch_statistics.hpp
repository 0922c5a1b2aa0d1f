#pragma once

#include "dnas/engine/op.hpp"
#include "dnas/kernels/normalisation.hpp"

namespace dnas::engine {

/// (x, then running_mean?, running_var? of each batch norm that reads x) -> for each of them x itself and its
/// normalisation. Moves the running statistics.
///
/// Every batch norm has outputs of its own because each has a gradient of its own, in parts as separable_bundle.hpp
/// says: g, which is only read, and rows. So each pair of outputs has exactly one reader.
class BatchStatisticsOp final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "batch_statistics"; }
  [[nodiscard]] std::string key() const override { return {}; }
  [[nodiscard]] bool repeatable() const override { return true; }
  [[nodiscard]] std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  [[nodiscard]] Sharing sharing(int index, std::span<const TensorType> in) const override;
  [[nodiscard]] std::size_t workspace(const Context& ctx, std::span<const TensorType> in) const override;
  void run(const Context& ctx, const OpArguments& args) const override;
  void backward(Backward& backward) const override;
};

/// The most batch norms of one node.
inline constexpr std::size_t max_statistics_readers = kernels::max_normalisation_gradients;

}  // namespace dnas::engine
