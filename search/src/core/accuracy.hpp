#pragma once

#include "dnas/kernels/tensor_view.hpp"

#include <cstdint>

namespace dnas::search {

/// Running means of an epoch: loss and top-1 / top-5 accuracy, weighted by the number of images.
struct Meter {
  double loss_sum = 0.0;
  std::int64_t top1_hits = 0;
  std::int64_t top5_hits = 0;
  std::int64_t images = 0;

  /// Adds a batch. `logits` [N, K], `labels` [N]; `loss` is the batch's mean.
  void add(double loss, const TensorView& logits, const TensorView& labels);

  [[nodiscard]] double loss() const noexcept;
  [[nodiscard]] double top1() const noexcept;  ///< percent
  [[nodiscard]] double top5() const noexcept;  ///< percent; 100 with five classes or fewer
};

}  // namespace dnas::search
