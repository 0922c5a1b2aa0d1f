#pragma once

#include "dnas/kernels/shape.hpp"

#include <algorithm>
#include <cstdint>

namespace dnas::kernels {

/// How output rows are dealt out to threads: by shape alone.
struct RowTasks {
  std::int64_t images;          ///< in all
  std::int64_t rows;            ///< of one image, in all
  std::int64_t images_at_once;  ///< several small images share the set-up of a task
  std::int64_t rows_at_once;    ///< few large images are cut into bands

  static RowTasks of(std::int64_t images, std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t enough = 16;   // tasks to keep many threads evenly busy
    constexpr std::int64_t pixels = 512;  // outputs beside which the set-up is small
    RowTasks t{images, rows, 1, std::max<std::int64_t>(rows, 1)};
    if (images >= enough) {
      const std::int64_t area = std::max<std::int64_t>(rows * columns, 1);
      t.images_at_once = std::clamp<std::int64_t>(pixels / area, 1, images / enough);
    } else if (images > 0) {
      const std::int64_t bands = (enough + images - 1) / images;
      t.rows_at_once = std::max<std::int64_t>((rows + bands - 1) / bands, std::min<std::int64_t>(4, t.rows_at_once));
    }
    return t;
  }
  [[nodiscard]] std::int64_t bands() const { return (rows + rows_at_once - 1) / rows_at_once; }
  [[nodiscard]] std::int64_t count() const { return (images + images_at_once - 1) / images_at_once * bands(); }

  struct Range {
    std::int64_t image, image_end, row, row_end;
  };
  [[nodiscard]] Range range(std::int64_t task) const {
    const std::int64_t image = task / bands() * images_at_once;
    const std::int64_t row = task % bands() * rows_at_once;
    return {image, std::min(images, image + images_at_once), row, std::min(rows, row + rows_at_once)};
  }
};

/// The same for what window_backward describes: every phase of the rows and columns of an image [N, H, W, C] that is
/// written is a task of its own. The phases over the same source follow each other, while it is in cache.
class PhaseTasks {
 public:
  PhaseTasks(const Shape& written, int stride)
      : stride_(stride),
        height_(written[1]),
        // Phase 0 has the most rows.
        tasks_(RowTasks::of(written[0], (height_ - 1) / stride + 1, (written[2] - 1) / stride + 1)) {}

  struct Task {
    int row_phase;
    int col_phase;
    RowTasks::Range range;
  };
  [[nodiscard]] std::int64_t count() const { return tasks_.count() * phases(); }
  [[nodiscard]] Task task(std::int64_t i) const {
    const int phase = static_cast<int>(i % phases());
    Task t{phase / stride_, phase % stride_, tasks_.range(i / phases())};
    const std::int64_t rows = height_ > t.row_phase ? (height_ - t.row_phase - 1) / stride_ + 1 : 0;
    t.range.row_end = std::min(t.range.row_end, rows);
    return t;
  }

 private:
  [[nodiscard]] std::int64_t phases() const { return std::int64_t{stride_} * stride_; }

  int stride_;
  std::int64_t height_;
  RowTasks tasks_;
};

}  // namespace dnas::kernels
