#include "ops/depthwise_conv_cpu.hpp"

#include "core/parallel_for.hpp"
#include "core/v16.hpp"
#include "ops/packed_rows.hpp"
#include "ops/row_tasks.hpp"

#include <cstring>

namespace dnas::kernels::cpu {
namespace {

/// What the forward pass and (phase by phase) the gradient of the data both are: every output is a weighted sum of
/// source pixels under a window.
struct Correlation {
  WindowAxis rows;
  WindowAxis cols;
  TensorView source;
  TensorView output;
  const float* w;  // [kernel, kernel, C]
  int kernel;
  bool add;
};

/// Weights of one channel block in the order the inner loop takes them, repeated over the pixels of a vector.
struct alignas(64) PackedWeights {
  float floats[WindowAxis::max_taps * WindowAxis::max_taps * lanes16];
};

DNAS_ALWAYS_INLINE void pack_weights(PackedWeights& to, const Correlation& g, const Strip& s) {
  const std::int64_t channels = g.source.channels();
  float* out = to.floats;
  for (int a = 0; a < g.rows.taps; ++a) {
    for (int b = 0; b < g.cols.taps; ++b, out += lanes16) {
      const int tap =
          g.rows.tap[static_cast<std::size_t>(a)].index * g.kernel + g.cols.tap[static_cast<std::size_t>(b)].index;
      const float* from = g.w + tap * channels + s.channel;
      if (s.full_vector()) {
        std::memcpy(out, from, lanes16 * sizeof(float));
        continue;
      }
      for (int c = 0; c < s.lanes; ++c)
        out[c] = c < s.valid ? from[c] : 0.0F;
      for (int lane = s.lanes; lane < lanes16; lane += 4)
        std::memcpy(out + lane, out + lane - s.lanes, 4 * sizeof(float));
    }
  }
}

/// The source rows and weights that make up one output row.
struct RowInputs {
  TapRows rows;
  const float* w;  // [rows.count][taps][16]
  const std::int64_t* tap_offset;
  int taps;
};

/// T output vectors from vector `at` on. Each weight vector is loaded once for all T, whose sums stay in registers.
template <int N, int T>
DNAS_ALWAYS_INLINE void sum_tile(const RowInputs& in, int at, V16<N> (&sum)[T]) {
  for (int t = 0; t < T; ++t)
    sum[t].clear();
  const float* w = in.w;
  V16<N> weight;
  for (int a = 0; a < in.rows.count; ++a) {
    const float* row = in.rows.row[a] + at * lanes16;
    for (int b = 0; b < in.taps; ++b, w += lanes16) {
      weight.load(w);
      const float* x = row + in.tap_offset[b];
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sum[t].multiply_add(weight, x + t * lanes16);
    }
  }
}

/// Where the vectors of an output row go.
struct RowTarget {
  float* first;
  std::int64_t stride;
  bool add;
};

template <int N, int T>
DNAS_ALWAYS_INLINE void tile(const RowInputs& in, int at, int count, const RowTarget& to) {
  V16<N> sum[T];
  sum_tile<N, T>(in, at, sum);
  float* out = to.first + at * to.stride;
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    if (t >= count) break;
    if (to.add) sum[t].add(out + t * to.stride);
    sum[t].store(out + t * to.stride);
  }
}

/// One output row. A tile may be wider than what is left: the surplus is computed from the overhang and dropped.
template <int N>
DNAS_ALWAYS_INLINE void correlate_row(const RowInputs& in, int vectors, const RowTarget& to) {
  for (int at = 0; at < vectors;) {
    const int left = vectors - at;
    if (V16<N>::tile == 8 && left >= 6) {
      tile<N, 8>(in, at, left, to);
      at += 8;
    } else if (V16<N>::tile >= 4 && left >= 3) {
      tile<N, 4>(in, at, left, to);
      at += 4;
    } else {
      tile<N, 2>(in, at, left, to);
      at += 2;
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void correlate_strip(const Correlation& g, const Strip& s, const PackedWeights& weights,
                                        RowRing ring, std::int64_t image, std::int64_t row, std::int64_t row_end) {
  const std::int64_t pixel_step = g.output.pixel_stride * g.cols.out_step;
  alignas(64) float packed_output[Strip::max_columns * lanes16];
  RowInputs in;
  in.tap_offset = s.tap_offset.data();
  in.taps = g.cols.taps;
  for (std::int64_t o = row; o < row_end; ++o) {
    const std::int64_t end = ring.advance(g.rows, o);
    for (; ring.next < end; ++ring.next) {
      pack_row(s, g.cols, ring.row(ring.next), image_row(g.source, image, ring.next), g.source.pixel_stride);
    }
    find_tap_rows(in.rows, ring, g.rows, o);
    in.w = weights.floats + in.rows.first * g.cols.taps * lanes16;
    float* out = output_row(s, g.rows, g.cols, g.output, image, o);
    if (s.full_vector()) {
      correlate_row<N>(in, s.vectors, {out, pixel_step, g.add});
    } else {
      correlate_row<N>(in, s.vectors, {packed_output, lanes16, false});
      store_pixels(s, out, pixel_step, packed_output, g.add);
    }
  }
}

template <int N>
DNAS_ALWAYS_INLINE void correlate_range(const Correlation& g, const RowTasks::Range& range) {
  RingMemory memory;
  PackedWeights weights;
  RowRing ring;
  for_each_strip(
      g.cols, g.source.channels(), [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) ring = make_ring(memory, s, g.rows, 0.0F);
        pack_weights(weights, g, s);
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          correlate_strip<N>(g, s, weights, ring, image, range.row, range.row_end);
        }
      });
}

DNAS_ISA_VERSIONS(correlate_task, correlate_range, (const Correlation& g, const RowTasks::Range& range), (g, range))

}  // namespace

void depthwise_conv_forward(const Context& ctx, const DepthwiseConv& conv, const TensorView& x, const TensorView& w,
                            const TensorView& y) {
  const Correlation g{window_forward(x.shape[1], y.shape[1], conv.kernel, conv.stride, conv.dilation, conv.padding),
                      window_forward(x.shape[2], y.shape[2], conv.kernel, conv.stride, conv.dilation, conv.padding),
                      x,
                      y,
                      w.f32(),
                      conv.kernel,
                      false};
  const RowTasks tasks = RowTasks::of(y.shape[0], y.shape[1], y.shape[2]);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) { correlate_task(g, tasks.range(task)); });
}

void depthwise_conv_backward_data(const Context& ctx, const DepthwiseConv& conv, const TensorView& dy,
                                  const TensorView& w, const TensorView& dx, Write write) {
  const PhaseTasks tasks(dx.shape, conv.stride);
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) {
    const PhaseTasks::Task t = tasks.task(task);
    const Correlation g{
        window_backward(dx.shape[1], dy.shape[1], conv.kernel, conv.stride, conv.dilation, conv.padding, t.row_phase),
        window_backward(dx.shape[2], dy.shape[2], conv.kernel, conv.stride, conv.dilation, conv.padding, t.col_phase),
        dy,
        dx,
        w.f32(),
        conv.kernel,
        write == Write::accumulate};
    correlate_task(g, t.range);
  });
}

}  // namespace dnas::kernels::cpu
