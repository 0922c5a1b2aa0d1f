#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "core/v16.hpp"
#include "ops/depthwise_conv_cpu.hpp"
#include "ops/packed_rows.hpp"
#include "ops/row_tasks.hpp"

#include <algorithm>

// The gradient of the weights: dw[a, b, c] = sum over n, i, j of dy[n, i, j, c] * x[n, i*s - p + a*d, j*s - p + b*d,
// c]. The images are cut into chunks, by shape alone; every chunk sums into a part of its own, and the parts are added
// in order.
namespace dnas::kernels::cpu {
namespace {

struct WeightGradient {
  WindowAxis rows;
  WindowAxis cols;
  TensorView x;
  TensorView dy;
  int kernel;
};

/// Sums of one channel block, [kernel, kernel][16]; lanes that are neighbouring pixels are added up at the end.
struct alignas(64) TapSums {
  float floats[WindowAxis::max_taps * WindowAxis::max_taps * lanes16];
};

/// One output row: its gradient, and the source rows of the taps it meets.
struct RowPair {
  const float* dy;
  std::int64_t dy_stride;
  int vectors;
  const float* const* row;
  const std::int64_t* tap_offset;
};

/// sums[r][b] += sum over the row of dy * x for R kernel rows and B kernel columns at once: each dy is loaded once for
/// R * B multiply-adds, and that many independent sums hide their latency.
template <int N, int R, int B>
DNAS_ALWAYS_INLINE void sum_taps(const RowPair& in, float* sums, int kernel) {
  V16<N> sum[R][B];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
      sum[r][b].load(sums + (r * kernel + b) * lanes16);
  }
  V16<N> gradient;
  const float* dy = in.dy;
  for (std::int64_t at = 0; at < in.vectors * lanes16; at += lanes16, dy += in.dy_stride) {
    gradient.load(dy);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b)
        sum[r][b].multiply_add(gradient, in.row[r] + in.tap_offset[b] + at);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
      sum[r][b].store(sums + (r * kernel + b) * lanes16);
  }
}

/// B kernel columns, the kernel rows in groups whose sums fit the registers: at most 25 of 32, or 7 pairs of 16.
template <int N, int B>
DNAS_ALWAYS_INLINE void sum_columns(RowPair in, int rows, float* sums, int kernel) {
  constexpr bool wide = N == 16;
  while (rows > 0) {
    int done = 1;
    if (wide && B <= 5 && rows >= 5) {
      sum_taps<N, 5, B>(in, sums, kernel);
      done = 5;
    } else if (wide && rows >= 3) {
      sum_taps<N, 3, B>(in, sums, kernel);
      done = 3;
    } else if ((wide || B <= 3) && rows >= 2) {
      sum_taps<N, 2, B>(in, sums, kernel);
      done = 2;
    } else {
      sum_taps<N, 1, B>(in, sums, kernel);
    }
    rows -= done;
    in.row += done;
    sums += done * kernel * lanes16;
  }
}

template <int N>
DNAS_ALWAYS_INLINE void sum_row(RowPair in, int rows, int taps, float* sums) {
  const int kernel = taps;
  while (taps > 0) {
    int done = 1;
    if (taps >= 7) {
      sum_columns<N, 7>(in, rows, sums, kernel);
      done = 7;
    } else if (taps >= 5) {
      sum_columns<N, 5>(in, rows, sums, kernel);
      done = 5;
    } else if (taps >= 3) {
      sum_columns<N, 3>(in, rows, sums, kernel);
      done = 3;
    } else {
      sum_columns<N, 1>(in, rows, sums, kernel);
    }
    taps -= done;
    in.tap_offset += done;
    sums += done * lanes16;
  }
}

template <int N>
DNAS_ALWAYS_INLINE void sum_strip(const WeightGradient& g, const Strip& s, RowRing ring, const RowTasks::Range& range,
                                  std::int64_t image, float* packed_dy, TapSums& sums) {
  TapRows taps;
  for (std::int64_t o = range.row; o < range.row_end; ++o) {
    const std::int64_t end = ring.advance(g.rows, o);
    for (; ring.next < end; ++ring.next) {
      pack_row(s, g.cols, ring.row(ring.next), image_row(g.x, image, ring.next), g.x.pixel_stride);
    }
    find_tap_rows(taps, ring, g.rows, o);
    RowPair in{output_row(s, g.rows, g.cols, g.dy, image, o), g.dy.pixel_stride, s.vectors, taps.row,
               s.tap_offset.data()};
    if (!s.full_vector()) {
      copy_pixels(s, packed_dy, s.lanes, in.dy, g.dy.pixel_stride, s.columns);
      in.dy = packed_dy;
      in.dy_stride = lanes16;
    }
    sum_row<N>(in, taps.count, g.kernel, sums.floats + taps.first * g.kernel * lanes16);
  }
}

/// The gradient of the chunk's images and rows, written to part [kernel, kernel, C].
template <int N>
DNAS_ALWAYS_INLINE void sum_range(const WeightGradient& g, const RowTasks::Range& range, float* part) {
  RingMemory memory;
  TapSums sums;
  alignas(64) float packed_dy[Strip::max_columns * lanes16];
  RowRing ring;
  const std::int64_t channels = g.x.channels();
  const int taps = g.kernel * g.kernel;
  std::fill_n(part, taps * channels, 0.0F);
  for_each_strip(
      g.cols, channels, [&](const Strip& s, bool fresh) __attribute__((always_inline)) {
        if (fresh) {
          ring = make_ring(memory, s, g.rows, 0.0F);
          std::fill_n(packed_dy, s.vectors * lanes16, 0.0F);  // also the pixels after the last, which must add nothing
        }
        std::fill_n(sums.floats, taps * lanes16, 0.0F);
        for (std::int64_t image = range.image; image < range.image_end; ++image) {
          sum_strip<N>(g, s, ring, range, image, packed_dy, sums);
        }
        for (int t = 0; t < taps; ++t) {
          float* to = part + t * channels + s.channel;
          const float* from = sums.floats + t * lanes16;
          for (int lane = 0; lane < lanes16; lane += s.lanes) {
            for (int c = 0; c < s.valid; ++c)
              to[c] += from[lane + c];
          }
        }
      });
}

DNAS_ISA_VERSIONS(sum_chunk, sum_range, (const WeightGradient& g, const RowTasks::Range& range, float* part),
                  (g, range, part))

/// Chunks large enough that adding the parts up costs little, enough of them for many threads.
RowTasks chunks(std::int64_t images, std::int64_t rows) {
  constexpr std::int64_t most = 32;
  RowTasks tasks{images, rows, 1, std::max<std::int64_t>(rows, 1)};
  if (images >= most) {
    tasks.images_at_once = (images + most - 1) / most;
  } else if (images > 0) {
    const std::int64_t bands = std::max<std::int64_t>(1, most / images);
    tasks.rows_at_once = std::max<std::int64_t>((rows + bands - 1) / bands, std::min<std::int64_t>(8, rows));
  }
  return tasks;
}

/// dw (+)= the sum of the parts [count, elements]. Not worth a second round of threads: the parts are in cache.
DNAS_MULTIVERSION void add_parts(const float* parts, std::int64_t count, std::int64_t elements, float* dw, bool add) {
  if (!add) std::fill_n(dw, elements, 0.0F);
  for (std::int64_t p = 0; p < count; ++p, parts += elements) {
    for (std::int64_t i = 0; i < elements; ++i)
      dw[i] += parts[i];
  }
}

}  // namespace

std::size_t depthwise_conv_backward_weight_workspace(const DepthwiseConv& conv, const Shape& output) {
  const std::int64_t part = std::int64_t{conv.kernel} * conv.kernel * output[3];
  return static_cast<std::size_t>(chunks(output[0], output[1]).count() * part) * sizeof(float);
}

void depthwise_conv_backward_weight(const Context& ctx, const DepthwiseConv& conv, const TensorView& x,
                                    const TensorView& dy, const TensorView& dw, Write write,
                                    std::span<std::byte> workspace) {
  WeightGradient g{{}, {}, x, dy, conv.kernel};
  g.rows = window_forward(x.shape[1], dy.shape[1], conv.kernel, conv.stride, conv.dilation, conv.padding);
  g.cols = window_forward(x.shape[2], dy.shape[2], conv.kernel, conv.stride, conv.dilation, conv.padding);
  const RowTasks tasks = chunks(dy.shape[0], dy.shape[1]);
  auto* parts = reinterpret_cast<float*>(workspace.data());  // [chunks, kernel, kernel, C]
  const std::int64_t part = dw.elements();
  parallel_for(ctx, tasks.count(), [&](std::int64_t task) { sum_chunk(g, tasks.range(task), parts + task * part); });

  add_parts(parts, tasks.count(), part, dw.f32(), write == Write::accumulate);
}

}  // namespace dnas::kernels::cpu
