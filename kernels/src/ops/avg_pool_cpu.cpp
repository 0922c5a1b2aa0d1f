#include "core/parallel_for.hpp"
#include "core/v16.hpp"
#include "ops/packed_rows.hpp"
#include "ops/pool_cpu.hpp"
#include "ops/row_tasks.hpp"

namespace dnas::kernels::cpu {
namespace {

struct AvgPool {
  WindowAxis rows;  // of this pass
  WindowAxis cols;
  WindowAxis window_rows;  // of the forward pass: they know how many positions a window covers
  WindowAxis window_cols;
  TensorView source;
  TensorView output;
  bool add;
};

int covered(const WindowAxis& axis, std::int64_t window) {
  const WindowAxis::Range range = axis.valid(window);
  return range.last - range.first;
}

/// 1 / (positions covered) for the windows of a row, laid out as they lie in scratch: [windows, lanes]. Only the rows
/// at the border differ from the row before.
class Scale {
 public:
  /// The scale of row `row`, for `count` windows from `first` on, some of which may not exist.
  DNAS_ALWAYS_INLINE const float* of(const AvgPool& g, int lanes, std::int64_t row, std::int64_t first,
                                     std::int64_t count) {
    const int rows = covered(g.window_rows, row);
    if (rows == rows_) return floats_;
    rows_ = rows;
    for (std::int64_t q = 0; q < count; ++q) {
      const bool exists = first + q >= 0 && first + q < g.window_cols.outputs;
      const float scale = exists ? 1.0F / static_cast<float>(rows * covered(g.window_cols, first + q)) : 0.0F;
      std::fill_n(floats_ + q * lanes, lanes, scale);
    }
    return floats_;
  }
  /// The windows or lanes change.
  DNAS_ALWAYS_INLINE void forget() { rows_ = 0; }

 private:
  alignas(64) float floats_[Strip::row_capacity] = {};
  int rows_ = 0;
};

/// One output row: the sum under the window, times `scale` if given.
template <int N>
DNAS_ALWAYS_INLINE void sum_row(const AvgPool& g, const Strip& s, const TapRows& taps, const float* scale, float* out) {
  constexpr int tile = std::min(4, V16<N>::tile);
  for (int at = 0; at < s.vectors * lanes16; at += tile * lanes16) {
    V16<N> sum[tile];
    for (int t = 0; t < tile; ++t)
      sum[t].clear();
    for (int a = 0; a < taps.count; ++a) {
      for (int b = 0; b < g.cols.taps; ++b) {
        const float* x = taps.row[a] + at + s.tap_offset[static_cast<std::size_t>(b)];
#pragma GCC unroll 4
        for (int t = 0; t < tile; ++t)
          sum[t].add(x + t * lanes16);
      }
    }
    for (int t = 0; t < tile; ++t) {
      if (scale != nullptr) sum[t].multiply(scale + at + t * lanes16);
      sum[t].store(out + at + t * lanes16);
    }
  }
}

/// Forward, sums are scaled; backward, what is summed is: dy of a window is shared by the positions it covers.
template <int N, bool Backward>
DNAS_ALWAYS_INLINE void avg_range(const AvgPool& g, const RowTasks::Range& range) {
  RingMemory memory;
  RowRing ring;
  TapRows taps;
  Scale scale;
  alignas(64) float sums[Strip::max_columns * lanes16 + Strip::overhang];
  for_each_strip(
      g.cols, g.source.channels(), [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) {
          ring = make_ring(memory, s, g.rows, 0.0F);
          scale.forget();
        }
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          ring.next = 0;
          for (std::int64_t o = range.row; o < range.row_end; ++o) {
            const std::int64_t end = ring.advance(g.rows, o);
            for (; ring.next < end; ++ring.next) {
              float* row = ring.row(ring.next);
              pack_row(s, g.cols, row, image_row(g.source, image, ring.next), g.source.pixel_stride);
              if constexpr (Backward) {
                const float* shares = scale.of(g, s.lanes, ring.next, s.column + g.cols.lowest, s.plane);
                for (std::int64_t i = 0; i < s.plane * s.lanes; ++i)
                  row[i] *= shares[i];
              }
            }
            find_tap_rows(taps, ring, g.rows, o);
            sum_row<N>(g, s, taps, Backward ? nullptr : scale.of(g, s.lanes, o, s.column, s.columns), sums);
            store_pixels(s, output_row(s, g.rows, g.cols, g.output, image, o), g.output.pixel_stride * g.cols.out_step,
                         sums, g.add);
          }
        }
      });
}

template <int N>
DNAS_ALWAYS_INLINE void avg_forward(const AvgPool& g, const RowTasks::Range& range) {
  avg_range<N, false>(g, range);
}
template <int N>
DNAS_ALWAYS_INLINE void avg_backward(const AvgPool& g, const RowTasks::Range& range) {
  avg_range<N, true>(g, range);
}

DNAS_ISA_VERSIONS(avg_forward_task, avg_forward, (const AvgPool& g, const RowTasks::Range& range), (g, range))
DNAS_ISA_VERSIONS(avg_backward_task, avg_backward, (const AvgPool& g, const RowTasks::Range& range), (g, range))

}  // namespace

void avg_pool_forward(const Context& ctx, const Pool& pool, const TensorView& x, const TensorView& y) {
  const WindowAxis rows = window_forward(x.shape[1], y.shape[1], pool.kernel, pool.stride, 1, pool.padding);
  const WindowAxis cols = window_forward(x.shape[2], y.shape[2], pool.kernel, pool.stride, 1, pool.padding);
  const AvgPool g{rows, cols, rows, cols, x, y, false};
  const RowTasks tasks = RowTasks::of(y.shape[0], y.shape[1], y.shape[2]);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) { avg_forward_task(g, tasks.range(task)); });
}

void avg_pool_backward(const Context& ctx, const Pool& pool, const TensorView& dy, const TensorView& dx, Write write) {
  const PhaseTasks tasks(dx.shape, pool.stride);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) {
    const PhaseTasks::Task t = tasks.task(task);
    const AvgPool g{window_backward(dx.shape[1], dy.shape[1], pool.kernel, pool.stride, 1, pool.padding, t.row_phase),
                    window_backward(dx.shape[2], dy.shape[2], pool.kernel, pool.stride, 1, pool.padding, t.col_phase),
                    window_forward(dx.shape[1], dy.shape[1], pool.kernel, pool.stride, 1, pool.padding),
                    window_forward(dx.shape[2], dy.shape[2], pool.kernel, pool.stride, 1, pool.padding),
                    dy,
                    dx,
                    write == Write::accumulate};
    avg_backward_task(g, t.range);
  });
}

}  // namespace dnas::kernels::cpu
