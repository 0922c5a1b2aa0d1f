#include "core/accuracy.hpp"

#include <limits>

namespace dnas::search {

namespace {

double percent(std::int64_t hits, std::int64_t images) {
  return images == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : 100.0 * static_cast<double>(hits) / static_cast<double>(images);
}

}  // namespace

void Meter::add(double loss, const TensorView& logits, const TensorView& labels) {
  const std::int64_t n = logits.shape[0];
  const std::int64_t classes = logits.shape[1];
  for (std::int64_t i = 0; i < n; ++i) {
    const float* row = logits.f32() + i * classes;
    const std::int64_t label = labels.i64()[i];
    std::int64_t rank = 0;  // classes that come before the right one; of equal ones the lower index does
    for (std::int64_t k = 0; k < classes; ++k) {
      if (row[k] > row[label] || (row[k] == row[label] && k < label)) ++rank;
    }
    top1_hits += rank < 1 ? 1 : 0;
    top5_hits += rank < 5 ? 1 : 0;
  }
  loss_sum += loss * static_cast<double>(n);
  images += n;
}

double Meter::loss() const noexcept {
  return images == 0 ? std::numeric_limits<double>::quiet_NaN() : loss_sum / static_cast<double>(images);
}
double Meter::top1() const noexcept {
  return percent(top1_hits, images);
}
double Meter::top5() const noexcept {
  return percent(top5_hits, images);
}

}  // namespace dnas::search
